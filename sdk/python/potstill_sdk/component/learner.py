"""The resource of the learner contract: one architecture, drawn from the exported learner."""

from potstill_contract import from_contract, guarded, made
from potstill_sdk import LearnerShape, Parameters, Rng, Tensor
from potstill_sdk.export import exported
from potstill_sdk.graph import use
from potstill_sdk.learner import declare, trace_forward
from wit_world.exports import learner as role
from wit_world.imports import graph

_INITS = {
    "constant": role.Init_Constant,
    "uniform": role.Init_Uniform,
    "normal": role.Init_Normal,
    "orthogonal": role.Init_Orthogonal,
}


class Architecture(role.Architecture):
    def __init__(self, learner, shape):
        self.learner = learner
        self.shape = shape
        self.declared = None

    @classmethod
    @guarded
    def make(cls, observation, outputs, settings, seed):
        use(graph)
        shape = LearnerShape(from_contract(observation), outputs)
        return cls(made(exported("learner"), settings, shape, Rng(seed)), shape)

    @guarded
    def name(self):
        return self.learner.name()

    def _declared(self):
        if self.declared is None:
            self.declared = declare(self.learner, self.shape)
        return self.declared

    @guarded
    def parameters(self):
        return [
            role.Parameter(p.name, p.shape, _INITS[p.init.kind](p.init.value), p.layer) for p in self._declared()
        ]

    @guarded
    def forward(self, parameters, observations):
        given = Parameters(self._declared(), [Tensor(number) for number in parameters])
        return trace_forward(self.learner, given, Tensor(observations)).number
