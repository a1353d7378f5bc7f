"""Every program refuses a bad command line: status 2, one line, nothing written, at once."""

import contextlib
import time

import pytest
from helpers import call_here, program_here
from test_program import PROGRAMS

import twomode as tm
from twomode import adversarial, cli
from twomode.proofs import proving

HUGE = "1" + "0" * 400
WORDS = ("", "word", "1,5", "10**", "0x", "--")
WHOLE = (*WORDS, "nan", "inf", "1.5", "1e-3", "2^-1", HUGE, "-1")
#: What no flag takes, by the function that reads it, and by what it names where there is none.
BAD = {
    cli.whole: WHOLE,
    cli.natural: WHOLE,
    float: (*WORDS, "nan", "inf", "-inf", HUGE, "1e400"),
    cli.path: ("", "x" * 300, "y/" * 3000),
    cli.store: ("", "a-file", "a-file/x", "x\0y"),
    cli._folder_name: ("", ".", "..", "a/b", "../x", "/", "x" * 300),
    cli.address: (*WORDS, "tcp://", "tcp://host", "host:80", "tcp://a b:1", "tcp://h:1/x"),
    cli.cell_value: ("", " ", "word", "1,5", "10**", "0x", "nan", "inf", "-inf", "-1", "--"),
    None: ("", "word", "NONE", HUGE),
}
#: Those of these that mean something to a program's flag.
FINE = {
    ("mode_collapse", "--clip"): ("inf", HUGE, "1e400"),  # never linear
    ("mode_collapse", "--lam"): ("-1", "-1e-300"),
    ("phase_diagram", "--clip"): ("inf", HUGE, "1e400"),
    ("phase_diagram", "--lam"): ("-1", "-1e-300"),
    ("certify", "--clip"): ("inf", HUGE, "1e400"),
    ("certify", "--lam"): ("-1", "-1e-300"),
    ("compare", "--replicas"): ("1e30",),  # said after the tuning
}
#: What a flag does not take besides.
NOT_NEGATIVE, NOT_ZERO, FEW = ("-1", "-1e-300"), ("0", "-0.0"), ("1e30",)
ALSO = {
    **dict.fromkeys(("--out", "--save-table"), ("/dev/null/x", "a-file/x", "a-file/x/y")),
    **dict.fromkeys(("--from", "--config", "--latents"), ("a-file", "no-file", "/dev/null", ".")),
    "--out": ("a-file", "/dev/null", "/dev/null/x", "a-file/x/y"),
    "--save-table": ("a-folder", "/dev/null/x", "a-file/x"),
}


def flags(*names, values):
    for name in names:
        ALSO[name] = (*ALSO.get(name, ()), *values)


flags(
    *("--gamma", "--q", "--p", "--p-12", "--std-W", "--std-V", "--eta-D", "--eta-G", "--anchor"),
    *("--decay-D", "--decay-G", "--noise", "--lam", "--eta", "--sigma", "--clip", "--resolve"),
    *("--eps", "--h", "--learning-rate", "--step-scales", "--ratios", "--adam-eps", "--norm-eps"),
    *("--radius", "--nu"),
    values=NOT_NEGATIVE,
)
flags(
    *("--d", "--m-D", "--m-G", "--replicas", "--batch-size", "--record-every", "--resolve"),
    *("--threads", "--clip", "--n", "--hidden", "--h", "--chains", "--seeds", "--tuning"),
    *("--evaluations", "--workers", "--copies", "--n-train", "--n-test", "--batch", "--ratios"),
    *("--learning-rate", "--step-scales", "--eps", "--nu", "--bits", "--most-bits"),
    values=NOT_ZERO,
)
flags(
    *("--replicas", "--m-D", "--m-G", "--threads", "--n", "--chains", "--hidden", "--copies"),
    *("--n-train", "--n-test", "--batch-size", "--bits", "--most-bits"),
    values=FEW,
)


class Computed(BaseException):
    """A program began to compute."""


def hostile(program, parser):
    """Command lines that no program takes, from what its parser says of its flags."""
    yield from (("--no-such-flag",), ("word",) * 3, ("--versoin",))
    for action in parser._actions:
        *_, flag = action.option_strings or [""]
        if not flag or flag in ("--help", "--version"):
            continue
        yield (f"{flag}x", "1")
        if action.nargs == 0:
            yield (f"{flag}=1",)
            continue
        yield (flag,)
        for value in (*BAD[action.type], *ALSO.get(flag, ())):
            if value not in FINE.get((program, flag), ()):
                yield (f"{flag}={value}",)


@pytest.fixture
def unused(monkeypatch):
    """Whatever takes time fails."""

    def compute(*arguments, **options):
        raise Computed

    for place, name in (
        (tm.Result, "of"),
        (tm.sweeps, "run_cell"),
        (proving, "prove"),
        (adversarial, "train"),
        (adversarial.robustness, "learning_curve"),
        (adversarial, "sample"),
        (adversarial, "stationary"),
        (adversarial, "Quadrature"),
    ):
        monkeypatch.setattr(place, name, compute)
    processes = tm.sweeps.processes
    monkeypatch.setattr(
        *(tm.sweeps, "processes"),
        lambda workers=None: (
            processes(workers) if workers is not None and workers < 1 else contextlib.nullcontext()
        ),
    )


FIGURES = [path.stem for path in PROGRAMS if path.parent.name == "figures"]
CONTRADICTIONS = {
    "phase_diagram": (
        "--opt sgda sgda",
        "--opt nothing",
        "--cells 1",
        "--span 1",
        "--any-version",
        "--workers 2 --scheduler tcp://localhost:1",
    ),
    **{name: ["--out x --update", "--from a-file --full", "--from a b c d"] for name in FIGURES},
    "mode_collapse": [
        *(
            "--json --cards",
            "--config a-file --opt adam",
            "--p-12 0.1",
            "--q 0.1 --latents bernoulli",
        ),
        *("--p 0.1", "--modes axis", "--beta1 0.5", "--beta2 0.5", "--adam-eps 1", "--eps 1"),
        *("--granularity layer", "--constant 2", "--norm-eps 1", "--heavy-ball", "--opt NSGDA"),
        *("--no-bias-correction", "--no-aligned", "--first-step double", "--past-scale today"),
        *("--correction-weight 2", "--anchor 1 --decay-D 1", "--opt ttur --eta-d 1 --eta-g 2"),
        *("--dtype float32", "--opt adam --engine reduced", "--opt adam --d 2^40", "--d 2"),
        *("--engine flow --opt nsgda", "--engine flow --batch-size 4", "--engine flow --resolve 2"),
        *("--rtol 1e-6", "--engine flow --rtol 1", "--d 2^100", "--engine flow --eta-g 0"),
        *("--latents README.md", "--latents a-file", "--latents .", "--eta-d 0", "--a 0"),
    ],
    "langevin": [
        *("--sampler exact", "--sampler exact --model linear --h 1", "--sampler sign --h 1"),
        *("--sampler exact --model linear --burn 3", "--burn 2000", "--steps 5 --burn 5"),
        *("--model linear --hidden 3", "--model linear --activation tanh", "--data moons --d 3"),
        *("--data digits --noise 1", "--data digits --model linear", "--data digits --n 1797"),
        *("--sampler exact --model logistic --lam 1.5", "--h 1 --eta 1", "--chains 1e6 --n 1e4"),
    ],
    "adversarial_training": [
        *("--methods pgd", "--methods pgd-0", "--methods fgsm fgsm", "--h 0.1", "--lam 3"),
        *("--methods fgsm --copies 2", "--methods fgsm --start warm", "--methods fgsm --lam 3"),
        *(
            "--sampler mala --eta 1",
            "--data digits --n-train 1797",
            "--methods fgsm --sampler sign",
        ),
    ],
    "certify": [
        *("--opt adam", "--radius 1", "--nu 1", "--bits 256 --most-bits 128", "--modes axis"),
        *("--d 2^100", "--q 0.1 --latents bernoulli", "--no-plot", "--replicas 2"),
    ],
    "compare": [
        *("--store a-file", "--store a-file/x"),
        *("--rules ttur --ratios 1 2", "--d 2^40 --rules adam", "--rules sgda NSGDA", "--opt sgda"),
    ],
    "window": ["--store a-file", "--store a-file/x", "--store new --from a-file"],
    "runs": [
        *("a", "a b", "a b c", "--out no-folder", "--out a-file", "a-folder", "a-file"),
        *("--merge a-folder", "a-folder --merge a-file", "a b --merge a-folder"),
    ],
    "sweep": [
        *(
            "--d 64",
            "--opt sgda",
            "--d 2 --opt sgda",
            "--d 64 --opt sgda NSGDA",
            "a-file",
            "no-file",
        ),
        *("--d 64 --opt sgda --replicas 0", "--d 64 --opt sgda --workers 0", "--no-plot"),
        *("--d 64 --opt sgda --store a-file", "--d 64 --opt sgda --store a-file/x"),
        *("--d 64 --opt sgda --paired gama", "--d 64 --opt sgda --any-version"),
        *("--d 64 --opt sgda --workers 1 --scheduler tcp://localhost:1", "a-folder"),
        *("--d 64 --opt sgda --ratio 1 --eta-G 1", "--d 64 --opt sgda --shared yes"),
    ],
    "run_all": [
        *("--only pase", "--only pace --part game", "--write", "--write --full --only pace"),
        *("--part game --write", "--only", "--write --full --part adversary --only pace"),
        *("--store a-file", "--store a-file/x", "--only pace --store a-file"),
    ],
}


@pytest.mark.parametrize("every", [3, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_a_bad_command_line_is_refused(unused, tmp_path, monkeypatch, path, every):
    (tmp_path / "a-file").write_text("not a table")
    (tmp_path / "a-folder").mkdir()
    before = sorted(tmp_path.rglob("*"))
    parsers, parse = [], cli.Parser.parse_args
    monkeypatch.setattr(
        *(cli.Parser, "parse_args"), lambda self, *a: (parsers.append(self), parse(self, *a))[1]
    )
    wrong = []
    with program_here(path) as main:
        call_here(main, "--version", cwd=tmp_path)
        lines = list(hostile(path.stem, parsers[0]))[::every]
        for line in [*lines, *map(str.split, CONTRADICTIONS.get(path.stem, ()))]:
            began = time.process_time()
            try:
                done = call_here(main, *line, cwd=tmp_path)
            except BaseException as error:
                wrong.append(f"{line}: {error!r}")
                continue
            refused = (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
            named = done.stderr.startswith(f"{path.name}: error: ")
            if not (refused and named and time.process_time() - began < 2):
                wrong.append(f"{line}: {done}")
            if sorted(tmp_path.rglob("*")) != before:
                wrong.append(f"{line}: wrote")
    assert not wrong, "\n".join(wrong)
