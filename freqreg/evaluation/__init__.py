"""Robustness of classifiers, and the frequencies that they use. Needs the extra `eval`."""

from freqreg._extras import extra

with extra("eval", "Evaluation needs its extra"):
    from freqreg.evaluation.attacks.pgd import PGDAttack
    from freqreg.evaluation.benchmark.evaluate import evaluate
    from freqreg.evaluation.corruptions.corruption import corrupt
    from freqreg.evaluation.corruptions.opening import open_corrupted
    from freqreg.evaluation.inputs.images import load_images
    from freqreg.evaluation.inputs.labelled_images import LabelledImages
    from freqreg.evaluation.inputs.models import load_model
    from freqreg.evaluation.metrics.fourier_heat_map import fourier_heat_map
    from freqreg.evaluation.metrics.frequency_profile import gradient_profile, image_profile
    from freqreg.evaluation.processes import shared_evaluation
    from freqreg.evaluation.results.records import ModelScores

__all__ = [
    "LabelledImages",
    "ModelScores",
    "PGDAttack",
    "corrupt",
    "evaluate",
    "fourier_heat_map",
    "gradient_profile",
    "image_profile",
    "load_images",
    "load_model",
    "open_corrupted",
    "shared_evaluation",
]
