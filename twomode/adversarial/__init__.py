"""p_adv*, the regularized optimal adversary: closed form, samplers, and Algorithm 1, without torch.

>>> import twomode as tm
>>> data = tm.adversarial.load_data("moons", n=16)
>>> model = tm.adversarial.Model.random(data, hidden=16)
>>> target = tm.adversarial.Target.of(model, data, eps=0.3, lam=10)
>>> exact = tm.adversarial.closed_form(target)
>>> chains = tm.adversarial.sample(target, tm.adversarial.sampler("reflected"), steps=100)
>>> chains.losses.shape
(100, 1, 16)
"""

from twomode.adversarial.closed_form import (
    Law,
    Quadrature,
    Target,
    TruncatedExponentials,
    closed_form,
)
from twomode.adversarial.problems import ACTIVATIONS, DATA, LOSSES, Data, Model, load_data
from twomode.adversarial.samplers import (
    SAMPLERS,
    Chains,
    Langevin,
    Sampler,
    SignStep,
    Stationary,
    advance,
    effective_sample_size,
    face_atom,
    sample,
    sampler,
    stationary,
)
from twomode.adversarial.training import (
    METHODS,
    STARTS,
    Method,
    State,
    fit,
    method,
    train,
)

__all__ = [
    "ACTIVATIONS",
    "DATA",
    "LOSSES",
    "METHODS",
    "SAMPLERS",
    "STARTS",
    "Chains",
    "Data",
    "Langevin",
    "Law",
    "Method",
    "Model",
    "Quadrature",
    "Sampler",
    "SignStep",
    "State",
    "Stationary",
    "Target",
    "TruncatedExponentials",
    "advance",
    "closed_form",
    "effective_sample_size",
    "face_atom",
    "fit",
    "load_data",
    "method",
    "sample",
    "sampler",
    "stationary",
    "train",
]
