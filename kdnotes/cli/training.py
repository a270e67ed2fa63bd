"""Commands that train and measure: the teacher, the comparison, one's own experiment, speed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kdnotes.cli.options import Dataset, Download, Engine, Fresh, Profile, count, option
from kdnotes.course import arguments


def train_teacher(
    output: Annotated[Path, option("File to write.")] = Path("teacher.safetensors"),
    fresh: Annotated[bool, option("Train even if this training is stored.", "--fresh")] = False,
) -> None:
    """Train the lesson teacher again; say whether it equals the shipped one bit for bit."""
    arguments.check_file(output)
    arguments.check_store()
    from kdnotes import store, teachers, training

    shipped = None
    if teachers.SHIPPED.is_file():
        shipped = training.state_key(teachers.lesson_teacher().model)
    record = teachers.train_lesson_teacher(output, fresh=fresh).record
    written = training.state_key(teachers.lesson_teacher(output).model)
    values = record["metrics"]
    print(
        f"test accuracy {values['test_accuracy']:.2%}, NLL {values['test_nll']:.4f} nats, "
        f"ECE {values['test_ece']:.2%}"
    )
    when = f"in {record['seconds']:.0f} s on {record['created']}"
    print(f"trained {when}, cache folder {store.cache_folder()}")
    equal = written == shipped
    said = "equal the shipped ones bit for bit" if equal else "differ from the shipped ones"
    print(f"{output}: the weights {said}")


def compare(
    profile: Profile = None,
    dataset: Dataset = None,
    seeds: Annotated[str | None, count("Paired seeds; default: the profile's.")] = None,
    output: Annotated[Path | None, option("CSV file to write, with all intervals.")] = None,
    workers: Annotated[str | None, count("Processes; default: the number of cores.")] = None,
    engine: Engine = None,
    fresh: Fresh = False,
    download: Download = False,
) -> None:
    """Compare all methods of the course, as the chapter on it does, and print the table."""
    if output is not None:
        arguments.check_file(output)
    options = {"profile": profile, "dataset": dataset, "seeds": seeds}
    given = arguments.parameters(options, [])
    arguments.check_store()
    arguments.describe(given, download)
    arguments.check_engine(engine)
    from kdnotes.course import comparison, estimates, profiles
    from kdnotes.files import write_text

    settings = profiles.settings(**given)
    if said := estimates.before_comparison(settings, workers):
        print(said, flush=True)
    result = comparison.compare_methods(
        settings, workers=workers, engine=engine, fresh=fresh or None
    )
    if output is not None:  # first: what is printed may go to a pipe that closes
        write_text(output, result.numbers().to_csv())
    print(result.table().to_string())
    if output is not None:
        print(f"All intervals: {output}")


def propose(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="attention, hints, progressive, mutual, language or blank."
        ),
    ],
    output: Annotated[Path, option("Folder to write the notebook to.")] = Path("."),
) -> None:
    """Write a lab notebook for an experiment of your own, ready to run (see its chapter)."""
    from kdnotes.lab import proposals

    if name in proposals.PROPOSALS:  # an unknown name makes no folder
        arguments.check_folder(output)
    path = proposals.write(name, output)
    reports = path.parent / "reports"
    print(f"{path}: open it in JupyterLab and run all cells; its report goes to {reports}")


def bench(
    output: Annotated[Path | None, option("JSON file to write.")] = None,
    quick: Annotated[bool, option("Small sizes: a check, not a measurement.", "--quick")] = False,
    language: Annotated[
        bool, option("Of language models instead of images.", "--language")
    ] = False,
) -> None:
    """Measure the course's speed against a plain training loop, and print the table."""
    from kdnotes.course import bench as images
    from kdnotes.course import language_bench as strings

    (strings if language else images).run(quick=quick, output=output)
