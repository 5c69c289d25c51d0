"""Attacks of the package torchattacks, for training and for evaluation."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from freqreg._extras import extra
from freqreg._step.frozen_batch_norm import frozen_batch_norm
from freqreg.errors import SettingError
from freqreg.evaluation.attacks.base import Attack, Attacked
from freqreg.evaluation.attacks.isolation import seeded, untouched
from freqreg.evaluation.attacks.pgd import UNIT_PIXELS
from freqreg.evaluation.attacks.restarts import run_restarts
from freqreg.evaluation.inputs.examples import Classifier, Examples
from freqreg.mixers.base import GradAt
from freqreg.pixels import PerChannel, PixelSpace

with extra("torchattacks", "freqreg.integrations.torchattacks needs torchattacks"):
    from torchattacks.attack import Attack as ForeignAttack

Images = Float[Tensor, "batch channel height width"]
Targets = Int64[Tensor, " batch"]


@dataclass(frozen=True, eq=False)
class TorchAttack(Attack):
    """Any attack of torchattacks, as a mixer for training and as an attack for evaluation.

    It attacks the model that the attack holds. In training that is the trained model, unwrapped.
    In evaluation, a model other than the evaluated one makes a transfer attack. The adapter leaves
    the global random state, the modes of all modules, `requires_grad`, `.grad` and batch norm's
    statistics as it found them, even if the attack raises.

    As a mixer it draws one number from torch's global generator, and seeds the attack with it, even
    an attack that seeds itself. So steps differ, and seeding and resuming work. In evaluation the
    given seed does this.

    A mixer sees no labels. By default the attack receives the model's own predictions in eval
    mode, so no label leaks into the images. `targets` gives it others.

    Example:
        >>> import torchattacks
        >>> mixer = TorchAttack(torchattacks.MIFGSM(model, eps=8 / 255))
        >>> objective = Objective([JaFR(1e-3)], mixer=mixer)

    Args:
        attack: of torchattacks; for normalised inputs call its `set_normalization_used(mean, std)`
            first.
        targets: maps the images to class numbers, such as `lambda x: batch["label"]` with a
            `batch` that the training loop sets.

    References: Kim, arXiv:2010.01950; predictions as labels: Kurakin et al., ICLR 2017,
        arXiv:1611.01236.
    """

    attack: ForeignAttack
    targets: Callable[[Images], Targets] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.attack, ForeignAttack):
            raise SettingError(
                f"{self.attack!r} is no attack of torchattacks; give an instance that holds its "
                "model: TorchAttack(torchattacks.PGD(model, eps=8 / 255))."
            )

    @property
    def eps(self) -> float | None:
        """ε of the attack in pixels, if it has one."""
        return getattr(self.attack, "eps", None)

    def __call__(self, x: Images, grad_at: GradAt, pixels: PixelSpace) -> Images:
        """Return the images to train on. The attack runs its own passes, none through `grad_at`."""
        self._require(pixels)
        seed = int(torch.randint(2**31, ()))
        labels = self.targets(x) if self.targets is not None else self._predictions(x)
        return self._perturbed(x, labels, seed)

    def attacked(
        self, model: Classifier, examples: Examples, *, seed: int, batch_size: int
    ) -> Attacked:
        """Attack checked examples."""
        self._require(UNIT_PIXELS)
        return run_restarts(
            model,
            examples,
            lambda batch, random: self._perturbed(
                batch.x, batch.labels, int(random.integers(0, 2**16, "seed", 1)[0])
            ),
            seed=seed,
            batch_size=batch_size,
            label=self.attack.attack,
        )

    def _perturbed(self, x: Images, labels: Targets, seed: int) -> Images:
        with self._isolated(seed, x.device), torch.enable_grad(), frozen_batch_norm(None):
            return self.attack(x.detach().clone(), labels).detach()

    @torch.no_grad()
    def _predictions(self, x: Images) -> Targets:
        with self._isolated(0, x.device):
            return self.attack.model.eval()(x).argmax(1)

    @contextmanager
    def _isolated(self, seed: int, device: torch.device) -> Iterator[None]:
        with ExitStack() as stack:
            stack.enter_context(seeded(seed, device))
            for model in {part.model for part in self._parts()}:
                stack.enter_context(untouched(model))
            for part in self._parts():
                stack.enter_context(_kept_settings(part, seed))
            yield

    def _parts(self) -> list[ForeignAttack]:
        return [self.attack, *self.attack._attacks.values()]

    def _require(self, pixels: PixelSpace) -> None:
        """Raise unless the attack and its caller agree on how inputs relate to pixels."""
        declared = self.attack.normalization_used or {"mean": torch.zeros(1), "std": torch.ones(1)}
        agreed = _equal(declared["mean"], pixels.mean) and _equal(declared["std"], pixels.std)
        if not agreed or (pixels.low, pixels.high) != (0, 1):
            found = {name: values.flatten().tolist() for name, values in declared.items()}
            raise SettingError(
                f"The attack takes inputs normalised by {found} of pixels in [0, 1], but here "
                f"they are in {pixels}. For training call attack.set_normalization_used(mean, "
                "std) with the same as PixelSpace; for evaluation give the attack a model that "
                "normalises inside."
            )


def _equal(declared: Tensor, values: PerChannel) -> bool:
    return torch.allclose(declared.flatten().double(), torch.tensor(values, dtype=torch.float64))


@contextmanager
def _kept_settings(attack: ForeignAttack, seed: int) -> Iterator[None]:
    """Make attacks that seed themselves take `seed`; restore the settings after an error."""
    kept = dict(vars(attack))
    vars(attack).update({"seed": seed} if "seed" in kept else {})
    try:
        yield
    finally:
        vars(attack).update(kept)
