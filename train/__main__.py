"""``python -m train CONFIG --folder FOLDER``: runs one experiment, or goes on with it.

CONFIG is a Python file whose ``EXPERIMENT`` says what to train. Every field of it can be set on the command line, as in
``--loop.steps 100 --optim.learning-rate 5e-4``; ``python -m train CONFIG --help`` lists them.
"""

import runpy
import sys
from pathlib import Path
from typing import Annotated

import tyro

from train import denoise, enhance, photofinish
from train.paramisp import task as paramisp
from train.semi import task as semi

TASKS = {
    denoise.DenoiseExperiment: denoise.task,
    photofinish.PhotofinishExperiment: photofinish.task,
    enhance.EnhanceExperiment: enhance.task,
    paramisp.ParamISPExperiment: paramisp.task,
    semi.SemiExperiment: semi.task,
}
"""What makes the task of an experiment, by the experiment's type."""


def main(arguments=None):
    """Entry point; returns the exit code: 0 done, 2 bad input or a loss that is not finite, 130 interrupted."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if not arguments or arguments[0].startswith("-"):
        print(__doc__.strip())
        return 0 if arguments in (["-h"], ["--help"]) else 2
    from train.loop import TrainingDivergedError

    try:
        experiment = load(arguments[0])
        return tyro.cli(command(experiment), prog=f"python -m train {arguments[0]}", args=arguments[1:])
    except (ValueError, OSError, TrainingDivergedError) as error:
        print(f"train: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("train: interrupted; what was saved last is kept", file=sys.stderr)
        return 130


def load(path):
    """The ``EXPERIMENT`` of a config file."""
    if not Path(path).is_file():
        raise ValueError(f"{path}: expected a config file, found none")
    try:
        experiment = runpy.run_path(str(path)).get("EXPERIMENT")
    except Exception as error:
        raise ValueError(f"{path}: cannot be run: {type(error).__name__}: {error}") from error
    if type(experiment) not in TASKS:
        names = ", ".join(kind.__name__ for kind in TASKS)
        raise ValueError(f"{path}: expected EXPERIMENT to be one of {names}, got {type(experiment).__name__}")
    return experiment


def command(default):
    """The program for experiments of one kind, as a function of its options."""

    def run(
        folder: Path,
        coordinator: str | None = None,
        process: int | None = None,
        processes: int | None = None,
        experiment: Annotated[type(default), tyro.conf.arg(name="")] = default,
    ) -> int:
        """Trains one experiment.

        Args:
            folder: Where the run is kept; a run that was begun there goes on.
            coordinator: For several processes: HOST:PORT of the first, or "auto" under Slurm and the like.
            process: Number of this process, from 0.
            processes: How many processes there are; each is started with the same command but for its number.
            experiment: What to train.
        """
        from train.distributed import connect
        from train.loop import fit

        if coordinator is not None:
            connect(coordinator, process, processes)
        elif process is not None or processes is not None:
            raise ValueError("expected --coordinator HOST:PORT beside --process and --processes")
        result = fit(TASKS[type(experiment)](experiment), experiment.loop, experiment.optim, folder)
        return 0 if result.step >= experiment.loop.steps else 130

    return run


if __name__ == "__main__":
    sys.exit(main())
