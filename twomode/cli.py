"""What the programs in sims/ share: flags of the game and the rule, errors, progress."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import math
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path
from types import NoneType
from typing import Any, NoReturn, get_args, get_type_hints

from twomode.checks import take
from twomode.errors import InputError, nearest, require, shown
from twomode.game import (
    MODES,
    Bernoulli,
    CorrelatedCoefficients,
    CorrelatedModes,
    Dimension,
    ExplicitLatents,
    Game,
    GaussianStart,
    Law,
    SparsePairs,
)
from twomode.io import read_arrays, reading
from twomode.names import NameTakenError, check_writable, new_folder, saved
from twomode.rules import CHOICES, RULES, Rule
from twomode.tables import Column, Table

__all__ = [
    "STEP_SIZES",
    "Parser",
    "add_field_flags",
    "add_game_flags",
    "add_output_flags",
    "add_rule_flags",
    "add_step_flags",
    "address",
    "cell_value",
    "cost_of",
    "game_from",
    "given",
    "list_optimizers",
    "natural",
    "path",
    "rule_changes_from",
    "run",
    "run_folder",
    "start_from",
    "told",
    "use_threads",
    "whole",
    "words",
]


class Parser(argparse.ArgumentParser):
    """A program's parser: ``--version``, near misses of flags, and errors of one line."""

    def __init__(self, **options: Any) -> None:
        options = {"formatter_class": argparse.RawDescriptionHelpFormatter} | options
        super().__init__(**options)
        self.add_argument("--version", action="version", version=f"twomode {version('twomode')}")

    def parse_args(self, *arguments: Any) -> argparse.Namespace:  # type: ignore[override]
        """As argparse does; an unknown flag gets the nearest ones."""
        for word in arguments[0] if arguments and arguments[0] is not None else sys.argv[1:]:
            if word.endswith("=--"):  # argparse would make it a list of nothing
                self.error(f"{word} has no value")
        args, unknown = self.parse_known_args(*arguments)
        chosen = [a for a in self._actions if isinstance(a, argparse._SubParsersAction)]
        of_commands = (p._option_string_actions for a in chosen for p in a.choices.values())
        flags = {flag for known in (self._option_string_actions, *of_commands) for flag in known}
        for word in unknown:
            flag, _, _ = word.partition("=")
            near = nearest(flag, sorted(flags)) if flag.startswith("-") else []
            hint = f": did you mean {' or '.join(near)}?" if near else ""
            self.error(f"unrecognized argument {word}{hint}")
        return args

    def error(self, message: str) -> NoReturn:
        """Print the message, in one line, and how to learn more; exit with status 2."""
        message = " ".join(message.split())
        message = message if len(message) <= 400 else f"{message[:397]}..."
        sys.stderr.write(f"{self.prog}: error: {message} (see --help)\n")
        raise SystemExit(2)


def run(main: Callable[[], int | None]) -> NoReturn:
    """Run a program: bad input is one line on stderr and status 2, as is a full disk.

    Ctrl-C is status 130.  Both say what was saved, Ctrl-C what the exception says besides.
    """
    program = Path(sys.argv[0]).name
    try:
        status = main() or 0
    except InputError as error:
        sys.stderr.write(f"{program}: error: {error}{f'; {told()}' if saved() else ''}\n")
        status = 2
    except KeyboardInterrupt as stop:
        remedy = f"; {stop}" if str(stop) else ""
        sys.stderr.write(f"{program}: interrupted, {told()}{remedy}\n")
        status = 130
    except BrokenPipeError:  # the reader of our output has gone, as with `| head`
        sys.stderr.close()
        status = 141
    except OSError as error:
        where = "" if error.filename is None else f"{error.filename}: "
        sys.stderr.write(f"{program}: error: {where}{error.strerror or error}; {told()}\n")
        status = 2
    raise SystemExit(status)


#: How many files are named one by one.
_FEW = 6


def told() -> str:
    """What this process has saved, in words: of many files, how many, and where."""
    files = saved()
    folders = dict.fromkeys(path.parent for path in files)
    # Of many, those of neighbours together, as the folders of a store are.
    above = Counter(folder.parent for folder in folders if len(files) > _FEW)
    places = {f: f.parent if above[f.parent] > 1 else f for f in folders}
    named = []
    for place in dict.fromkeys(places.values()):
        names = [path.name for path in files if places[path.parent] == place]
        many = len(names) > _FEW or place not in folders
        named.append(f"{f'{len(names)} files' if many else ', '.join(names)} in {place}")
    return f"saved {'; '.join(named)}" if files else "nothing saved"


def whole(text: str) -> int:
    """A whole number as people write it: 4096, 2^40, 2**40 or 1e6."""
    base, power, exponent = text.replace("**", "^").partition("^")
    try:
        number = Decimal(base) ** int(exponent or 1)
        if number == number.to_integral_value() and number.adjusted() < 400:
            return int(base) ** int(exponent) if power else int(number)
    except (ValueError, ArithmeticError):
        pass
    raise argparse.ArgumentTypeError(
        f"invalid whole number: {shown(text)}; write 4096, 2^40 or 1e6, with at most 400 digits"
    )


def natural(text: str) -> int:
    """A whole number of at least 0, as a seed is."""
    number = whole(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{shown(text)} must be a whole number of at least 0")
    return number


def path(text: str) -> Path:
    """A path that the system can look for."""
    try:
        if text:
            Path(text).exists()
            return Path(text)
    except (OSError, ValueError):
        pass
    raise argparse.ArgumentTypeError(f"invalid path: {shown(text)}; name a file or a folder")


def address(text: str) -> str:
    """Of a scheduler: a protocol, a host and a port."""
    if re.fullmatch(r"[a-z]+://[^\s/:]+:\d{1,5}", text):
        return text
    raise argparse.ArgumentTypeError(f"invalid address: {shown(text)}; write tcp://HOST:PORT")


def cell_value(text: str) -> bool | int | float | str:
    """A value of a cell: true or false, a number, or a word."""
    if text in ("true", "false"):
        return text == "true"
    for kind in (whole, float):
        with contextlib.suppress(ValueError, argparse.ArgumentTypeError):
            return kind(text)
    if text and text == text.strip():
        return text
    raise argparse.ArgumentTypeError(f"invalid value: {shown(text)}; a number, true, or a word")


def _folder_name(text: str) -> str:
    """The name of a folder in another: not that one itself, nor one elsewhere."""
    if path(text).name != text or text == "..":
        raise argparse.ArgumentTypeError(
            f"invalid name of a folder: {shown(text)}; --out says where it is"
        )
    return text


def add_field_flags(
    group: argparse._ArgumentGroup, cls: type, helps: Mapping[str, str], **known: Sequence[str]
) -> None:
    """A flag for each field of a dataclass that has a help, typed as it is; None unless given.

    `known` has choices of fields that are words.
    """
    hints = get_type_hints(cls)
    for name in (f.name for f in fields(cls) if f.name in helps):
        kinds = get_args(hints[name]) or (hints[name],)
        kind = next(kind for kind in kinds if kind is not NoneType)
        options: dict[str, Any] = {"type": whole if kind is int else kind}
        if kind is bool:
            options = {"action": argparse.BooleanOptionalAction}
        elif name in known:
            options = {"choices": known[name]}
        group.add_argument(f"--{name.replace('_', '-')}", help=helps[name], **options)


_GAME_HELP = {
    "m_D": "discriminator neurons [ceil(ln d)]",
    "m_G": "generator neurons [ceil(ln d)]",
    "gamma": "<u_1, u_2> [1/ln d]",
    "a": "slope of the discriminator [1/ln d]",
    "lam": "weight lambda of the bias [d^(-1/2)]",
    "clip": "Lambda, end of the cubic part [d^(1/5)]",
}
_START_HELP = {
    "std_W": "standard deviation of w_i(0) [d^(-1/2)]",
    "std_V": "standard deviation of v_j(0) [1/d]",
    "bias": "b(0) [0]",
    "modes": "directions of u_1, u_2; matters only to coordinate-wise rules [random]",
}
_RULE_HELP = {
    "direction": "[by rule]",
    "magnitude": "[by rule]",
    "granularity": "blocks of the norms [by rule]",
    "polar": "spectral: exact, or by five Newton-Schulz steps [by rule]",
    "schedule": "[by rule]",
    "correction": "by the game's Jacobian [by rule]",
    "correction_weight": "lambda of sga, gamma of consensus [1]",
    "aligned": "sga: choose the sign of lambda by alignment [yes]",
    "anchor": "strength of the pull to the start [by rule]",
    "decay_D": "p of eta_D/t^p [by rule]",
    "decay_G": "p of eta_G/t^p [by rule]",
    "first_step": "optimistic: the first [plain]",
    "past_scale": "optimistic: bias correction of the old step's moments [own]",
    "beta1": "decay of the first moment [0.9, or by rule]",
    "beta2": "decay of the second moment [0.999]",
    "norm_eps": "added to norms before dividing [0]",
    "bias_correction": "moments: divide by 1 - beta^t [yes]",
    "heavy_ball": "moments: theta + eta g + beta1 (theta - theta_before) [by rule]",
    "nesterov": "moments: beta1 M + (1 - beta1) g in place of M [by rule]",
    "constant": "ada-nsgda: root mean square of a step's coordinates [1]",
    "max_norm": "clipped-sgda: length of the longest step, before eta [1]",
    "weight_decay": "strength of the pull to 0, times eta [by rule]",
}


def add_game_flags(parser: argparse.ArgumentParser) -> None:
    """One flag for each parameter of the game and of its start."""
    game = parser.add_argument_group("the game (defaults: the canonical preset at d)")
    game.add_argument(
        "--d", type=whole, default=4096, help="dimension of the data, as 4096, 2^40 or 1e6 [4096]"
    )
    add_field_flags(game, Game, _GAME_HELP)
    game.add_argument(
        "--latents",
        default=SparsePairs.kind,
        metavar="LAW",
        help="sparse-pairs, bernoulli, or an .npz file with arrays Z and prob [sparse-pairs]",
    )
    game.add_argument("--q", type=float, help="sparse-pairs: probability of a pair [1/(ln d)^2]")
    game.add_argument("--p", type=float, help="bernoulli: Pr[z_i = 1] [1/m_G]")
    game.add_argument(
        "--data",
        default=CorrelatedModes.kind,
        choices=(CorrelatedModes.kind, CorrelatedCoefficients.kind),
        help="law of the data [correlated-modes]",
    )
    game.add_argument(
        "--p-12", type=float, help="correlated-coefficients: Pr[X = u_1 + u_2] [1/ln d]"
    )
    start = parser.add_argument_group("the start")
    add_field_flags(start, GaussianStart, _START_HELP, modes=MODES)


def game_from(args: argparse.Namespace) -> Game:
    """The game that the flags describe; what they leave open is the preset's."""
    take("d", args.d, Dimension)
    changes = given(args, *_GAME_HELP)
    if args.data == CorrelatedCoefficients.kind:
        p_12 = 1 / math.log(args.d) if args.p_12 is None else args.p_12
        changes["data"] = CorrelatedCoefficients(p_12)
    else:
        require(args.p_12 is None, f"p_12={args.p_12} needs --data {CorrelatedCoefficients.kind}")
    latents = _latents_from(args)
    return Game.preset(args.d, **changes | ({} if latents is None else {"latents": latents}))


def _latents_from(args: argparse.Namespace) -> Law | None:
    """The law of z that the flags describe; None for the preset's."""
    for law, flag in ((SparsePairs.kind, "q"), (Bernoulli.kind, "p")):
        value = getattr(args, flag)
        require(value is None or args.latents == law, f"{flag}={value} needs --latents {law}")
    if args.latents == SparsePairs.kind:
        return None if args.q is None else SparsePairs(args.q)
    if args.latents == Bernoulli.kind:
        m_G = Game.preset(args.d).m_G if args.m_G is None else args.m_G
        return Bernoulli(1 / max(m_G, 1) if args.p is None else args.p)
    known = f"neither {SparsePairs.kind}, {Bernoulli.kind} nor an .npz file with arrays Z and prob"
    require(Path(args.latents).is_file(), f"latents={shown(args.latents)} is {known}")
    arrays = read_arrays(args.latents)
    with reading(args.latents):
        require({"Z", "prob"} <= arrays.keys(), known)
        return ExplicitLatents(arrays["Z"], arrays["prob"])


def start_from(args: argparse.Namespace) -> GaussianStart:
    """The start that the flags describe."""
    return GaussianStart(**given(args, *_START_HELP))


def add_rule_flags(parser: argparse.ArgumentParser) -> None:
    """Flags of the update rule."""
    rule = parser.add_argument_group("the rule")
    rule.add_argument("--opt", default="sgda", metavar="NAME", help="see --list-optimizers [sgda]")
    rule.add_argument(
        *("--eta-D", "--eta-d"), type=float, help="step size of the discriminator [by rule and d]"
    )
    rule.add_argument(
        *("--eta-G", "--eta-g"), type=float, help="step size of the generator [follows eta_D]"
    )
    add_field_flags(rule, Rule, _RULE_HELP, **CHOICES)
    # --eps is the half width of a box in other programs.
    rule.add_argument("--adam-eps", dest="eps", type=float, help="Adam's epsilon [1e-8]")


def rule_changes_from(args: argparse.Namespace) -> dict[str, Any]:
    """The fields of the rule that flags replace."""
    return given(args, *_RULE_HELP, "eps")


def words(args: argparse.Namespace, group: argparse._ArgumentGroup) -> list[str]:
    """The flags of a group that are set, as they may be typed again."""
    found: list[str] = []
    for action in group._group_actions:
        value = getattr(args, action.dest)
        if value != action.default:
            found += [action.option_strings[0], *([] if action.nargs == 0 else [str(value)])]
    return found


#: Step sizes of samplers.
STEP_SIZES = ("h", "eta", "sigma")


def add_step_flags(group: argparse._ArgumentGroup) -> None:
    """Step sizes of the samplers of p_adv*."""
    group.add_argument(
        "--h",
        type=float,
        help="Langevin: step, in eps^2 [of langevin.py: a suitable one for each anchor; 0.01]",
    )
    group.add_argument("--eta", type=float, help="sign: length of a step, in eps [0.5]")
    group.add_argument("--sigma", type=float, help="sign: noise of a step, in eps [0.3]")


def given(args: argparse.Namespace, *names: str) -> dict[str, Any]:
    """The flags of these names that are set."""
    return {name: getattr(args, name) for name in names if getattr(args, name) is not None}


def add_store_flag(parser: argparse._ActionsContainer) -> None:
    """Of programs that sweep; see `twomode.studies.Store`."""
    parser.add_argument("--store", type=store, help="folder that keeps what is finished [none]")


def store(text: str) -> Path:
    """A folder that can be a `Store`."""
    from twomode.studies import Store

    folder = path(text)
    try:
        Store(folder)
        if not folder.is_dir():  # one that can only be read may have all
            check_writable(folder)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return folder


def add_output_flags(
    parser: argparse.ArgumentParser, default: str, *, plot: bool = True
) -> argparse._ArgumentGroup:
    """Where a program saves, and what it prints; `default` names the folder."""
    output = parser.add_argument_group("output")
    output.add_argument("--out", type=path, default=Path("runs"), help="folder of runs [runs]")
    output.add_argument(
        "--name", type=_folder_name, help=f"folder of this run in it [{default}, numbered]"
    )
    output.add_argument(
        "--overwrite", action="store_true", help="replace the run of this name, all of its folder"
    )
    if plot:
        output.add_argument("--no-plot", action="store_true", help="save no figure")
    output.add_argument("--json", action="store_true", help="print the summary alone, as JSON")
    return output


@contextlib.contextmanager
def run_folder(args: argparse.Namespace, base: str) -> Iterator[Path]:
    """Reserve where the run goes: the given name, or `base`, numbered if it is taken.

    Yields the folder to write into; see `new_folder`.
    """
    for number in itertools.count(1):
        name = base if number == 1 else f"{base}-{number}"
        with contextlib.ExitStack() as stack:
            try:
                path = args.out / (name if args.name is None else args.name)
                folder = stack.enter_context(new_folder(path, overwrite=args.overwrite))
            except NameTakenError:
                if args.name is not None or args.overwrite:
                    raise
                continue
            yield folder
            return


def use_threads(threads: int) -> None:
    """Limit the compiled engines to this many threads."""
    import numba

    most = numba.config.NUMBA_NUM_THREADS
    require(1 <= threads <= most, f"threads={threads} must lie between 1 and {most}")
    numba.set_num_threads(threads)


def list_optimizers() -> str:
    """A table of the named rules: formula, source, cost of an iteration."""
    meaning = "cost in gradients of both players (g) and Jacobian products (J)"
    table = Table(
        Column(("rule", ""), max(map(len, RULES)), "<"),
        Column(("cost", meaning), 5, "<"),
        Column(("formula, source", ""), 0, "<"),
        gap=2,
    )
    lines = [*table.heads, ""]
    for name, rule in RULES.items():
        lines += [table.row(name, cost_of(name), rule.formula), table.row("", "", rule.source)]
    return "\n".join(lines)


def cost_of(name: str) -> str:
    """What an iteration of a named rule evaluates: 1g+2J is a gradient and two products."""
    gradients, products = RULES[name].cost
    return f"{gradients:g}g" + (f"+{products:g}J" if products else "")
