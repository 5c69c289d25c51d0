"""The squared norm of the input gradient."""

from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from freqreg._settings import require_finite
from freqreg._tensors import at_least_single
from freqreg.regularizers.base import Images, Regularizer


@dataclass(frozen=True)
class InputGradientNorm(Regularizer):
    r"""Mean squared L2 norm of the per-example input gradient (double backpropagation).

    The penalty is $\frac{1}{n}\sum_i \|\nabla_{x_i} \ell_i\|_2^2$. The gradient of a batch-mean
    loss is 1/n of the per-example one; it is multiplied by n, so that the penalty does not
    change with the batch size. The loss must be a batch mean.

    Args:
        lambda_norm: weight.

    References: Drucker & LeCun, IEEE Transactions on Neural Networks 1992; Ross &
        Doshi-Velez, AAAI 2018, arXiv:1711.09404.
    """

    lambda_norm: float = 1e-2

    def __post_init__(self) -> None:
        require_finite(lambda_norm=self.lambda_norm)

    @property
    def name(self) -> str:
        """`input_gradient_norm`."""
        return "input_gradient_norm"

    @property
    def weight(self) -> float:
        """λ."""
        return self.lambda_norm

    def penalty(self, gradients: Sequence[Images]) -> Float[Tensor, ""]:
        """Mean over the batch of the squared norm, in (loss per unit of input)²."""
        clean = at_least_single(gradients[0])
        return (clean * len(clean)).square().flatten(1).sum(1).mean()
