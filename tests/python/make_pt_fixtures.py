"""Writes the PyTorch files in tests/fixtures: `python make_pt_fixtures.py ../fixtures` (needs `torch`)."""
import pathlib
import sys
import zipfile
from collections import OrderedDict

import torch
from torch import nn

folder = pathlib.Path(sys.argv[1])


def save(value, name, legacy=False):
    torch.save(value, folder / name, _use_new_zipfile_serialization=not legacy)


class Distiller(nn.Module):
    """As the paper's code keeps θ: parameters of a module, saved by `state_dict`."""

    def __init__(self, **tensors):
        super().__init__()
        for name, tensor in tensors.items():
            setattr(self, name, nn.Parameter(tensor))


cartpole = Distiller(
    x=torch.arange(8.0).reshape(2, 4) / 4,
    y=torch.tensor([[-1.0, 1.0], [1.0, -1.0]]),
    inner_lr=torch.tensor(1.5),
)
mujoco = Distiller(
    x=torch.arange(12.0).reshape(4, 3),
    y_mean=torch.arange(8.0).reshape(4, 2) / 8,
    y_logstd=torch.tensor([[-0.5, 0.5]]),
    inner_lr=torch.tensor(0.25),
)
optimizer = torch.optim.Adam(mujoco.parameters(), lr=2.5e-4)
sum(p.sum() for p in mujoco.parameters()).backward()
state = {"distiller": mujoco.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3, "return": 12.5}

base = torch.arange(6.0).reshape(2, 3)
views = OrderedDict(
    transposed=base.t(),
    sliced=base[:, 1:],
    expanded=torch.tensor([[7.0]]).expand(2, 2),
    double=torch.tensor(0.5, dtype=torch.float64),
    integers=torch.arange(3),
    nested={"parameter": nn.Parameter(torch.tensor([-1.0, 1.0])), "text": "π", "none": None, "list": [1, -2, 2**70]},
)

for suffix, legacy in (("", False), ("-legacy", True)):
    save(cartpole.state_dict(), f"cartpole{suffix}.pt", legacy)
    save(views, f"views{suffix}.pt", legacy)
save(state, "mujoco.pt")
# As people save them.
own = cartpole.state_dict()
save(OrderedDict(own, x=torch._neg_view(own["x"])), "negated.pt")
save({f"module.{name}": tensor for name, tensor in own.items()}, "wrapped.pt")
save(OrderedDict(own, inner_lr=1.5), "number.pt")
with zipfile.ZipFile(folder / "cartpole.pt") as stored, zipfile.ZipFile(folder / "bzip2.pt", "w") as compressed:
    for entry in stored.infolist():
        compressed.writestr(entry.filename, stored.read(entry), zipfile.ZIP_BZIP2)
save(nn.Linear(2, 1), "whole-model.pt")
