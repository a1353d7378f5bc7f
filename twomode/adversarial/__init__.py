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
    GibbsLaw,
    Quadrature,
    Target,
    TruncatedExponentials,
    closed_form,
)
from twomode.adversarial.problems import ACTIVATIONS, DATA, LOSSES, Data, Model, load_data
from twomode.adversarial.robustness import (
    PROBLEMS,
    Problem,
    cost_to,
    learning_curve,
    learning_curves,
    robust_error,
    tracking_lag,
)
from twomode.adversarial.samplers import (
    SAMPLERS,
    Advance,
    Chains,
    Langevin,
    Mixing,
    Sampler,
    SignStep,
    Suited,
    advance,
    effective_sample_size,
    mixing,
    sample,
    sampler,
    suited,
)
from twomode.adversarial.sampling import MIXED, ExactLoss, describe_chains, exact_loss, largest_loss
from twomode.adversarial.stationary_laws import Stationary, face_atom, stationary
from twomode.adversarial.training import METHODS, STARTS, Method, TrainingState, fit, method, train

__all__ = [
    "ACTIVATIONS",
    "DATA",
    "LOSSES",
    "METHODS",
    "MIXED",
    "PROBLEMS",
    "SAMPLERS",
    "STARTS",
    "Advance",
    "Chains",
    "Data",
    "ExactLoss",
    "GibbsLaw",
    "Langevin",
    "Method",
    "Mixing",
    "Model",
    "Problem",
    "Quadrature",
    "Sampler",
    "SignStep",
    "Stationary",
    "Suited",
    "Target",
    "TrainingState",
    "TruncatedExponentials",
    "advance",
    "closed_form",
    "cost_to",
    "describe_chains",
    "effective_sample_size",
    "exact_loss",
    "face_atom",
    "fit",
    "largest_loss",
    "learning_curve",
    "learning_curves",
    "load_data",
    "method",
    "mixing",
    "robust_error",
    "sample",
    "sampler",
    "stationary",
    "suited",
    "tracking_lag",
    "train",
]
