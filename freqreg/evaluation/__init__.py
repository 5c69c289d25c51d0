"""What a classifier withstands, and which frequencies it listens to.

Needs the extra `eval`.
"""

try:
    from freqreg.evaluation.attacks.pgd import PGDAttack
    from freqreg.evaluation.benchmark.evaluate import evaluate
    from freqreg.evaluation.corruptions.corruption import corrupt
    from freqreg.evaluation.corruptions.opening import open_corrupted
    from freqreg.evaluation.inputs.images import load_images
    from freqreg.evaluation.inputs.labelled_images import LabelledImages
    from freqreg.evaluation.inputs.models import load_model
    from freqreg.evaluation.metrics.fourier_heat_map import fourier_heat_map
    from freqreg.evaluation.metrics.frequency_profile import gradient_profile, image_profile
    from freqreg.evaluation.results.records import ModelScores
except ImportError as error:
    if "freqreg[" in str(error):
        raise
    raise ImportError(
        f'Evaluation needs its extra ({error}). Install it with: pip install "freqreg[eval]"'
    ) from error

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
]
