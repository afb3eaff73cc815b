"""How far the probabilities of a test can be trusted: values for result.json, and lines for who reads them."""

from typing import Any

from attn_train.statistics.calibration import BINS, fit_temperature
from attn_train.training.inference import Evaluation


def scores(outcome: Evaluation) -> dict[str, float]:
    """Return the scores of a test's probabilities, as result.json has them."""
    found = outcome.calibration
    return {"nll": found.nll, "brier": found.brier, "ece": found.ece, "overconfidence": found.overconfidence}


def scaled_scores(outcome: Evaluation, validated: Evaluation) -> dict[str, Any]:
    """Return the temperature that is fitted on validation images, and the scores of a test with it; None where no
    temperature is best."""
    temperature = fit_temperature(*validated.arrays)
    if temperature is None:
        return dict.fromkeys(("temperature", "nll_scaled", "ece_scaled"))
    scaled = outcome.scaled(temperature)
    return {"temperature": temperature, "nll_scaled": scaled.nll, "ece_scaled": scaled.ece}


def lines(outcome: Evaluation, validated: Evaluation | None, label_smoothing: float, views: int) -> list[str]:
    """Say the scores of a test, those with the temperature of validation images where there are some, and what else
    changes them."""
    found = outcome.calibration
    said = [
        f"nll {found.nll:.4f}, brier {found.brier:.4f}, ece {found.ece:.4f} (a share, {BINS} bins), {found.direction}",
        f"brier of the confidence alone {found.top_label_brier:.4f} = reliability {found.reliability:.4f} - resolution "
        f"{found.resolution:.4f} + uncertainty {found.uncertainty:.4f} + within bins {found.within:.4f}",
    ]
    if validated is not None:
        scaled = scaled_scores(outcome, validated)
        if scaled["temperature"] is None:
            said.append(f"no temperature is best for the {validated.total} validation images: all are right, or chance")
        else:
            said.append(
                f"with the temperature {scaled['temperature']:.3f} of the {validated.total} validation images: nll "
                f"{scaled['nll_scaled']:.4f}, ece {scaled['ece_scaled']:.4f}"
            )
    causes = [f"train.label_smoothing={label_smoothing:g}"] if label_smoothing else []
    causes += [f"eval.views={views}, whose logits are averaged"] if views > 1 else []
    if causes:
        said.append(f"these follow from {' and '.join(causes)} too: compare them with runs that have the same")
    return said
