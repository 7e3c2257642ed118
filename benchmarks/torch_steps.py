"""Steps of the same ResNet-18 in PyTorch; a program by itself, run by `convolutions.py` with another Python.

    <Python with PyTorch> benchmarks/torch_steps.py <threads> <steps>

It prints PyTorch's version, then reads lines `<index in KINDS> <filters> <batch size>` and answers each with
a line when it has taken the steps.
"""

import functools
import sys

KINDS = ("PyTorch", "PyTorch, channels last", "PyTorch, channels last, compiled")
SIDE, CLASSES, BLOCKS, STAGES = 32, 10, 2, 4


def main(threads, steps):
    import torch

    torch.set_num_threads(threads)
    print(torch.__version__, flush=True)
    made = functools.cache(step)
    for line in sys.stdin:
        take = made(*map(int, line.split()))
        for _ in range(steps):
            take()
        print("done", flush=True)


def step(kind, filters, batch):
    """A function that takes one step."""
    import torch

    network = resnet18(filters)
    images, labels = torch.rand(batch, 3, SIDE, SIDE), torch.arange(batch) % CLASSES
    if "channels last" in KINDS[kind]:
        network = network.to(memory_format=torch.channels_last)
        images = images.to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
    network = torch.compile(network) if "compiled" in KINDS[kind] else network

    def take():
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(network(images), labels).backward()
        optimizer.step()

    return take


def resnet18(filters):
    """The network of `keras_cl/networks/resnet18.py`."""
    from torch import nn

    layers, before = [*convolution(3, filters), nn.ReLU()], filters
    for stage in range(STAGES):
        for block in range(BLOCKS):
            after = filters * 2**stage
            layers.append(residual(before, after, 2 if stage and not block else 1))
            before = after
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, CLASSES))


def residual(before, after, stride):
    """relu(x + F(x)), with F two convolutions; x is projected if the shape changes."""
    from torch import nn

    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            first, second = convolution(before, after, 3, stride), convolution(after, after)
            self.main = nn.Sequential(*first, nn.ReLU(), *second)
            same = stride == 1 and before == after
            self.aside = nn.Identity() if same else nn.Sequential(*convolution(before, after, 1, stride))

        def forward(self, x):
            return nn.functional.relu(self.main(x) + self.aside(x))

    return Residual()


def convolution(before, after, size=3, stride=1):
    """A convolution and batch normalisation."""
    from torch import nn

    return nn.Conv2d(before, after, size, stride, size // 2, bias=False), nn.BatchNorm2d(after)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
