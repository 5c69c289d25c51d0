"""The norm of the input gradient."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float
from torch import Tensor

from freqreg._settings import require_choice, require_finite
from freqreg._tensors import at_least_single
from freqreg.regularizers.base import Images, Regularizer

Order = Literal[1, 2]


@dataclass(frozen=True)
class InputGradientNorm(Regularizer):
    r"""The mean norm of each image's own input gradient (double backpropagation).

    The penalty is $\frac{1}{n}\sum_i \|\nabla_{x_i} \ell_i\|_2^2$, or with `order=1`
    $\frac{1}{n}\sum_i \|\nabla_{x_i} \ell_i\|_1$. The gradient of the batch-mean loss is
    multiplied by n, so the penalty does not change with the batch size. A scalar loss must be
    the batch mean.

    Args:
        lambda_norm: weight. With `order=1` the authors use ε/std: to first order the penalty is
            then what an attack of ε pixels adds to the loss. They raise it linearly at the
            beginning, as `Warmup` does.
        order: 2 for the squared L2 norm, 1 for the L1 norm.

    References: Drucker & LeCun, IEEE Transactions on Neural Networks 1992; Ross &
        Doshi-Velez, AAAI 2018, arXiv:1711.09404; the L1 norm: Rodríguez-Muñoz, Wang & Torralba,
        ECCV 2024, arXiv:2409.20139.
    """

    lambda_norm: float = 1e-2
    order: Order = 2

    def __post_init__(self) -> None:
        require_finite(lambda_norm=self.lambda_norm)
        require_choice(Order, order=self.order)

    @property
    def name(self) -> str:
        return "input_gradient_norm"

    @property
    def weight(self) -> float:
        return self.lambda_norm

    def penalty(self, gradients: Sequence[Images], /) -> Float[Tensor, ""]:
        """Average the norms, in loss per unit of input; they are squared for order 2."""
        own = (at_least_single(gradients[0]) * len(gradients[0])).flatten(1)
        return (own.square() if self.order == 2 else own.abs()).sum(1).mean()
