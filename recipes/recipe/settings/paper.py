"""What the paper's experiments on all data sets have in common, and what smaller presets change."""

from recipe.settings.experiment import Changes, Method, our_choice, paper, preset, published_code

SETUP: Changes = {
    "batch_size": published_code(128, "the incomplete last batch is dropped"),
    "padding": published_code(4, "random crops; images in [0, 1] are not normalised"),
    "model": paper("preact_resnet18"),
    "width": published_code(64),
    "optimizer": published_code("sgd", "with momentum"),
    "momentum": published_code(0.9),
    "weight_decay": published_code(5e-4, "on all parameters"),
    "eps_255": paper(8),
    "fgsm_alpha": published_code(1.25, "without effect from a zero start but in a warm-up"),
    "pgd_steps": published_code(10, "from a zero start"),
    "pgd_step_255": published_code(2),
    "pgd2_steps": our_choice(2, "of ε/2: a baseline of our own, from a zero start as PGD"),
    "limits_stay": published_code(True, "by PyTorch 1.4's derivative of its clamp; today 1/2"),
    "nfgsm_alpha": our_choice(1.0, "de Jorge et al. 2022; not a method of the paper"),
    "nfgsm_noise": our_choice(2.0, "de Jorge et al. 2022; not a method of the paper"),
    "lambda_fourier": our_choice(0.5, "Krishnamachari et al. 2022; not a method of the paper"),
    "penalty_target": paper(None, "penalties act in full; else log B_low, or the share outside"),
    "absolute_floor": published_code(1e-5, "added to the mean magnitude; None: relative, 1e-8"),
    "alpha_shift": published_code(1e-5, "equation 8 has 0"),
    "batch_norm": published_code("every pass", "the library's default is the main pass"),
    "penalty_every": paper(1, "step"),
    "penalty_share": paper(1.0, "of the batch"),
    "best_every": published_code(200, "steps, and ours at the last; the paper reports the last"),
    "best_images": published_code(256, "the first train images, not augmented"),
    "best_attack_steps": published_code(10, "of ε/4, one restart"),
    "attack_steps": paper(50, "of ε/4"),
    "attack_restarts": paper(10),
    "attack_select": published_code("max-loss", "the library's default, broken, is stricter"),
    "fgsm_images": published_code(1000),
    "profiled_images": published_code(1000),
    "noise_rms": our_choice(0.1, "the paper has CIFAR-10-C instead"),
}


def negative(like: str, rate: float, size: float) -> Changes:
    """A method with JaFR's λ below zero, set as its counterpart above zero."""
    note = f"as {like}; of the negative λ only the sign is stated"
    return {
        "max_learning_rate": our_choice(rate, f"as {like}"),
        "lambda_freq": our_choice(size, note),
    }


def fourier(rate: float, adversarial_rate: float) -> dict[Method, Changes]:
    """The methods with FourierSensitivity, at the rates of JaFR and of N-FGSM."""
    alone = {"max_learning_rate": our_choice(rate, "as JaFR")}
    beside = {"max_learning_rate": our_choice(adversarial_rate, "as N-FGSM")}
    return {"fourier-low": alone, "fourier-high": alone, "nfgsm+fourier-low": beside}


LIBRARY_DEFAULTS = preset(
    limits_stay=False,
    absolute_floor=None,
    alpha_shift=0.0,
    batch_norm="main pass",
    attack_select="broken",
)

MINI: Changes = LIBRARY_DEFAULTS | preset(
    train_images=20_000,
    batch_size=64,
    width=16,
    epochs=10,
    max_learning_rate=0.1,
    best_every=500,
    attack_steps=20,
    attack_restarts=1,
    attacked_images=500,
)

SMOKE: Changes = LIBRARY_DEFAULTS | preset(
    train_images=2048,
    batch_size=64,
    width=8,
    epochs=3,
    max_learning_rate=0.05,
    best_every=50,
    best_images=100,
    attack_steps=10,
    attack_restarts=1,
    attacked_images=100,
    fgsm_images=500,
    profiled_images=500,
)
