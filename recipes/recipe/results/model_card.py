"""The card of a trained model: its kind, how to load it, its training, its figures."""

from pathlib import Path

from huggingface_hub import ModelCard, ModelCardData

from freqreg.evaluation.inputs.models import NETWORKS, TIMM, WEIGHTS
from freqreg.evaluation.results.paper import DATASETS, METHODS
from recipe.results.files import Results
from recipe.settings.experiment import Settings

CARD, TEMPLATE = "README.md", Path(__file__).with_name("model_card.md")


def card(
    results: Results, *, train_images: int, test_images: int, published: Settings | None
) -> str:
    """The card as Markdown, with the hub's metadata in its head.

    `published` holds the method's settings in the preset paper, for an experiment of the paper.
    """
    config, best = results.config, results.best
    last = {"last, reported": results.measures}
    filled = ModelCard.from_template(
        ModelCardData(
            library_name="timm" if config["model"].startswith(TIMM) else "freqreg",
            pipeline_tag="image-classification",
            tags=["freqreg", *results.method.split("+")],
        ),
        template_path=str(TEMPLATE),
        results=results,
        config=config,
        method=METHODS.get(results.method, results.method),
        data_set=DATASETS.get(config["experiment"], config["experiment"]),
        train_images=train_images,
        parts=results.method.split("+"),
        models=last | ({f"best, step {best.step}": best.measures} if best else {}),
        test_images=test_images,
        networks=NETWORKS,
        weights=WEIGHTS,
        published=published and vars(published),
    )
    return f"{filled}\n"
