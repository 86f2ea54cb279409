"""The resource of the objective contract: the exported objective, made for one task."""

from potstill_contract import from_contract, guarded, made
from potstill_sdk import Batch, Network, Outer, Task, Tensor, Theta
from potstill_sdk.export import exported
from potstill_sdk.graph import use
from potstill_sdk.objective import trace_inner, trace_outer
from wit_world.exports import objective as role
from wit_world.imports import graph, network


def _init(init):
    if init.kind == "labels":
        return role.MetaInit_Labels()
    return {"constant": role.MetaInit_Constant, "normal": role.MetaInit_Normal}[init.kind](init.value)


def _tensors(numbers):
    return [Tensor(number) for number in numbers]


class Instance(role.Instance):
    def __init__(self, objective, task):
        self.objective = objective
        self.parts = objective.theta(task)
        self.names = objective.columns()

    @classmethod
    @guarded
    def make(cls, task, settings):
        use(graph, network)
        task = Task(from_contract(task.observation), from_contract(task.action), task.instances, task.outputs)
        return cls(made(exported("objective"), settings, task), task)

    @guarded
    def data(self):
        return role.DataSource(self.objective.data().value)

    @guarded
    def meta_parameters(self):
        return [
            role.MetaParameter(p.name, list(p.shape), _init(p.init), p.is_learned, p.is_positive) for p in self.parts
        ]

    @guarded
    def columns(self):
        return self.names

    def _theta(self, numbers):
        return Theta([part.name for part in self.parts], _tensors(numbers))

    @guarded
    def inner(self, theta, fresh):
        taught = trace_inner(self.objective, self._theta(theta), Network(), _tensors(fresh))
        return [tensor.number for tensor in taught]

    @guarded
    def outer(self, judged):
        outcome = trace_outer(
            self.objective,
            Outer(
                self._theta(judged.theta),
                Network(),
                _tensors(judged.fresh),
                _tensors(judged.taught),
                Batch(self.names, _tensors(judged.columns)),
            ),
        )
        metrics = [role.Metric(name, value.number) for name, value in outcome.metrics.items()]
        return role.Outcome(outcome.loss.number, metrics)
