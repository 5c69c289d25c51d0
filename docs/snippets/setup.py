import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

images, labels = torch.rand(64, 3, 32, 32), torch.randint(10, (64,))
loader = DataLoader(TensorDataset(images, labels), batch_size=32, shuffle=True)
x, y = next(iter(loader))

model = nn.Sequential(
    nn.Conv2d(3, 8, 3, padding=1),
    nn.BatchNorm2d(8),
    nn.GELU(),
    nn.AdaptiveAvgPool2d(8),
    nn.Flatten(),
    nn.Linear(8 * 8 * 8, 10),
)
optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)


def loss_fn(batch):
    """Mean loss of a batch of images whose targets are y."""
    return F.cross_entropy(model(batch), y)
