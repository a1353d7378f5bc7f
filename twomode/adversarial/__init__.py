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
    SignStep,
    Stationary,
    effective_sample_size,
    face_atom,
    sample,
    sampler,
    stationary,
)
from twomode.adversarial.training import (
    METHODS,
    PROBLEMS,
    STARTS,
    Method,
    Problem,
    State,
    cost_to,
    fit,
    learning_curve,
    learning_curves,
    method,
    robust_error,
    tracking_lag,
    train,
)

__all__ = [
    "ACTIVATIONS",
    "DATA",
    "LOSSES",
    "METHODS",
    "PROBLEMS",
    "SAMPLERS",
    "STARTS",
    "Chains",
    "Data",
    "Langevin",
    "Law",
    "Method",
    "Model",
    "Problem",
    "Quadrature",
    "SignStep",
    "State",
    "Stationary",
    "Target",
    "TruncatedExponentials",
    "closed_form",
    "cost_to",
    "effective_sample_size",
    "face_atom",
    "fit",
    "learning_curve",
    "learning_curves",
    "load_data",
    "method",
    "robust_error",
    "sample",
    "sampler",
    "stationary",
    "tracking_lag",
    "train",
]
