"""Chapters: find them, execute each in a kernel of this interpreter, and write pages, index and results."""

from __future__ import annotations

import ast
import contextlib
import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Chapter", "Outcome", "check_parameters", "choose", "execute", "find", "run", "write_text"]


@dataclass(frozen=True)
class Chapter:
    """A notebook ``NN_name.ipynb``, with title and promise from its first cell."""

    path: Path
    title: str
    promise: str

    @property
    def name(self) -> str:
        return self.path.stem


@dataclass(frozen=True)
class Outcome:
    """What became of a chapter: status "passed", "failed" or "timeout", seconds, error ("" if none), the notebook."""

    status: str
    seconds: float
    error: str
    notebook: Any


def find(folder: Path) -> list[Chapter]:
    """The chapters of a folder, in order; ``ValueError`` if there is none or one cannot be read."""
    paths = sorted(folder.glob("[0-9][0-9]_*.ipynb"))
    if not paths:
        raise ValueError(
            f"--notebooks: no chapter (NN_name.ipynb) in {folder.resolve()}: run kdnotes in the repository's root, or "
            "name the folder"
        )
    return [_read_chapter(path) for path in paths]


def _read_chapter(path: Path) -> Chapter:
    try:
        first = "".join(json.loads(path.read_text(encoding="utf-8"))["cells"][0]["source"])
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        raise ValueError(f"{path} is not a notebook: {type(error).__name__}: {error}") from error
    heading, _, rest = first.strip().partition("\n")
    title = re.sub(r"^#+\s*(Chapter\s+)?(\d+\s*[.:·–-]\s*)?", "", heading) or path.stem
    promise = re.sub(r"[*_`$]|\s+", lambda match: match[0].isspace() * " ", re.split(r"\n\s*\n", rest.strip())[0])
    promise = re.sub(r"^(Promise|In one sentence)[.:] ", "", promise)
    return Chapter(path, title, promise[:1].upper() + promise[1:])


def choose(chapters: list[Chapter], wanted: list[str]) -> list[Chapter]:
    """The wanted chapters (by number or name; all if none is named), in the course's order."""
    names = {key: chapter for chapter in chapters for key in (chapter.name, chapter.name[3:], int(chapter.name[:2]))}
    for word in wanted:
        if (int(word) if word.isdecimal() else word) not in names:
            allowed = ", ".join(chapter.name for chapter in chapters)
            raise ValueError(f"CHAPTER must be one of {allowed} (or its number), not {word!r}")
    chosen = {names[int(word) if word.isdecimal() else word].name for word in wanted}
    return [chapter for chapter in chapters if not wanted or chapter.name in chosen]


def check_parameters(chapters: list[Chapter], parameters: dict[str, Any]) -> None:
    """``ValueError`` unless every chapter declares every parameter, with a default of the same kind or ``None``."""
    from papermill import inspect_notebook

    for chapter in chapters:
        known = inspect_notebook(_read(chapter))
        for name, value in parameters.items():
            if name not in known:
                raise ValueError(f"{chapter.name} has no parameter {name!r}: it has {', '.join(known) or 'none'}")
            with contextlib.suppress(ValueError, SyntaxError):  # a default that is no literal is not compared
                kind = type(ast.literal_eval(known[name]["default"]))
                if kind is not type(None) and not isinstance(value, (int, float) if kind is float else kind):
                    raise TypeError(f"parameter {name} of {chapter.name} must be a {kind.__name__}, not {value!r}")


def _read(chapter: Chapter) -> Any:
    import nbformat

    try:
        return _tidy(nbformat.read(chapter.path, as_version=4))
    except Exception as error:  # nbformat has its own classes for each way to be malformed
        raise ValueError(f"{chapter.path} is not a notebook: {type(error).__name__}") from error


def execute(
    chapter: Chapter,
    parameters: dict[str, Any],
    *,
    timeout: float | None = None,
    chapter_timeout: float | None = None,
    on_cell: Callable[[int, int], None] = lambda done, total: None,
    kernels: list[Any] | None = None,
) -> Outcome:
    """Run a chapter through papermill, in its own folder and a kernel of this interpreter, and stop that kernel.

    Args:
        parameters: values of the cell tagged ``parameters``.
        timeout, chapter_timeout: seconds for one cell, and for all of them (``None``: no limit).
        on_cell: called with (cells done, cells) whenever a cell starts.
        kernels: the manager of the kernel is added to it, so that another thread can ``kill()`` the kernel.
    """
    import papermill
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    for name in ("papermill", "asyncio"):  # what they log is in the outcome
        logging.getLogger(name).setLevel(logging.CRITICAL)
    began, total, status, message = time.monotonic(), len(_read(chapter).cells), "passed", ""

    def limit(cell: Any) -> float | None:
        left = chapter_timeout and max(chapter_timeout - (time.monotonic() - began), 0.01)
        return min((value for value in (timeout, left) if value), default=None)

    kernels = [] if kernels is None else kernels
    with tempfile.TemporaryDirectory(prefix="kdnotes-") as folder:
        path = Path(folder) / chapter.path.name
        try:
            papermill.execute_notebook(
                _read(chapter), str(path), parameters, kernel_name="python3", language="python", progress_bar=False,
                kernel_manager_class=_kernel_manager(chapter.path.parent, Path(folder), kernels), timeout_func=limit,
                record_timing=False, on_cell_start=lambda cell, cell_index: on_cell(cell_index, total),
            )  # fmt: skip
        except CellTimeoutError:  # before OSError, of which it is a kind
            over = chapter_timeout is not None and time.monotonic() - began >= chapter_timeout
            option, value = ("--chapter-timeout", chapter_timeout) if over else ("--timeout", timeout)
            status, message = "timeout", f"stopped after {value:g} s ({option})"
        except PapermillExecutionError as error:
            status, message = "failed", _short(error)
        except DeadKernelError:
            status, message = "failed", "DeadKernelError: the kernel died (out of memory?)"
        import nbformat

        notebook = _tidy(nbformat.read(path, as_version=4))
    return Outcome(status, round(time.monotonic() - began, 1), message, notebook)


def _kernel_manager(home: Path, scratch: Path, started: list[Any]) -> type:
    """A kernel of the running interpreter, whatever ``python3`` means elsewhere, and a guard that ends its workers.

    The guard waits for the end of a pipe from this process, then kills the kernel's process group. A manager is in
    ``started`` while its kernel runs.

    Args:
        home: the kernel's working folder. (With papermill's ``cwd`` this whole process would move there, and with it
            whatever else it is doing.)
        scratch: an empty folder for the kernel's sockets.
    """
    from ipykernel.kernelspec import RESOURCES, get_kernel_dict
    from jupyter_client import AsyncKernelManager
    from jupyter_client.kernelspec import KernelSpec
    from traitlets import default

    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}  # of the process, not of its cells

    class OwnKernelManager(AsyncKernelManager):
        guard: subprocess.Popen[bytes] | None = None

        @default("shutdown_wait_time")
        def _shutdown_wait_time_default(self) -> float:
            """Half of it passes at each shutdown: the kernel waits for joblib's resource tracker, which stays."""
            return 0.4

        @default("transport")
        def _transport_default(self) -> str:
            """Sockets in the file system where there are any: no port that another user could reach, no network.

            Their paths may have about a hundred characters.
            """
            return "ipc" if os.name == "posix" and len(str(scratch)) < 90 else "tcp"

        def _ip_default(self) -> str:
            return str(scratch / "socket") if self.transport == "ipc" else super()._ip_default()

        @property
        def kernel_spec(self) -> KernelSpec:
            return KernelSpec(resource_dir=RESOURCES, **get_kernel_dict())

        def client(self, **options: Any) -> Any:
            """Its heartbeat, of which papermill makes no use, waits less for the last answer of an ended kernel."""
            client = super().client(**options)
            client.hb_channel.time_to_dead = 0.1
            return client

        async def _async_launch_kernel(self, kernel_cmd: list[str], **options: Any) -> None:
            await super()._async_launch_kernel(kernel_cmd, **(options | quiet | {"cwd": str(home.resolve())}))

        async def _async_post_start_kernel(self, **options: Any) -> None:
            await super()._async_post_start_kernel(**options)
            started.append(self)
            if group := getattr(self.provisioner, "pgid", None):  # POSIX; it holds when this process is killed, too
                kill = ["sh", "-c", "read line; kill -s KILL -- -$0", str(group)]
                self.guard = subprocess.Popen(kill, stdin=subprocess.PIPE, start_new_session=True, **quiet)

        def kill(self) -> None:
            """End the kernel and its workers at once, from any thread."""
            if group := getattr(self.provisioner, "pgid", None):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(group, signal.SIGKILL)
            elif process := getattr(self.provisioner, "process", None):
                process.kill()

        async def cleanup_resources(self, restart: bool = False) -> None:
            await super()._async_cleanup_resources(restart=restart)
            if self in started:
                started.remove(self)  # its number may soon be another process's
            if self.guard:
                self.guard.communicate()

    return OwnKernelManager


def _short(error: Any) -> str:
    """Exception name, message, and the line of the cell that raised it."""
    where = re.compile(rf"Cell In\[{error.exec_count}\], line (\d+)")
    found = where.search(re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(error.traceback)))
    lines = error.source.splitlines()
    line = lines[int(found[1]) - 1].strip() if found and int(found[1]) <= len(lines) else (lines or [""])[0]
    text = (str(error.evalue).splitlines() or [""])[0][:300]
    return f"{error.ename}: {text}\n  in [{error.exec_count}]{f', line {found[1]}' if found else ''}: {line}"


def _tidy(notebook: Any) -> Any:
    """Remove papermill's metadata (paths and times), join split output, name the kernel that every machine has."""
    notebook.metadata.pop("papermill", None)
    notebook.metadata.pop("widgets", None)
    notebook.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook.metadata["language_info"] = {"name": "python"}
    notebook.cells = [
        cell for cell in notebook.cells if "papermill-error-cell-tag" not in cell.metadata.get("tags", [])
    ]
    for cell in notebook.cells:
        for name in ("papermill", "execution"):
            cell.metadata.pop(name, None)
        if not cell.metadata.get("tags"):
            cell.metadata.pop("tags", None)
        if cell.cell_type == "code":
            cell.outputs = _joined(cell.outputs)
    return notebook


def _joined(outputs: list[Any]) -> list[Any]:
    """Consecutive pieces of one stream as one output: where a kernel splits what is printed is chance."""
    joined: list[Any] = []
    for output in outputs:
        if joined and output.output_type == "stream" and joined[-1].get("name") == output.name:
            joined[-1].text += output.text
        else:
            joined.append(output)
    return joined


def _without(cells: list[Any], tag: str) -> list[Any]:
    return [cell for cell in cells if tag not in cell.metadata.get("tags", [])]


def run(
    chapters: list[Chapter], everything: list[Chapter], output: Path, parameters: dict[str, Any],
    about: dict[str, Any], *, update: bool = False, jobs: int = 1, **limits: float | None,
) -> bool:  # fmt: skip
    """Execute chapters and keep ``output`` complete after each; return whether all passed.

    A chapter that does not pass leaves ``NN_name.failed.ipynb`` and ``.html``; the pages of an earlier pass stay.

    Args:
        everything: all chapters of the course, for the index.
        about: profile, dataset, seeds, and so on, for results.json.
        update: write the outputs of a chapter that passed back to its source.
        jobs: chapters at a time, each in a kernel of its own; they begin in the order of ``chapters``.
        limits: ``timeout`` and ``chapter_timeout`` of ``execute``.
    """
    entries = _earlier(output, everything)
    passes = {name: entry for name, entry in entries.items() if entry["status"] == "passed"}
    seconds = {name: entry["seconds"] for name, entry in passes.items() if entry["profile"] == about["profile"]}
    progress, passed = _Progress([chapter.name for chapter in chapters], seconds, jobs), True
    kernels: list[Any] = []

    def one(chapter: Chapter) -> tuple[bytes, Outcome]:
        source = chapter.path.read_bytes()
        return source, execute(chapter, parameters, on_cell=progress.begin(chapter.name), kernels=kernels, **limits)

    def stop() -> None:
        for kernel in kernels.copy():
            kernel.kill()

    with progress.shown(), contextlib.closing(_as_they_end(chapters, one, jobs, stop)) as ended:
        for chapter, (source, outcome) in ended:
            entry = {"status": outcome.status, "seconds": outcome.seconds, "error": outcome.error}
            entries[chapter.name] = {"chapter": chapter.name} | entry | about
            _write_chapter(output, chapter, outcome)
            _write_results(output, everything, entries, about)
            if update and outcome.status == "passed":
                _update(chapter, source, outcome.notebook)
            passed &= outcome.status == "passed"
            progress.done(chapter.name, outcome)
    return passed


def _as_they_end(
    chapters: list[Chapter], work: Callable[[Chapter], Any], jobs: int, stop: Callable[[], object]
) -> Iterator[tuple[Chapter, Any]]:
    """Each chapter with what ``work`` gave for it, as it ends; whatever ends the loop early ``stop``s all work first.

    An interruption in an event loop can come between two callbacks; what is left there then ends the next thing that
    is run on the loop, which is the shutdown of a kernel. A thread other than the main one is never interrupted.
    """
    busy: list[Chapter] = []
    cancelled = threading.Event()

    def guarded(chapter: Chapter) -> Any:
        busy.append(chapter)
        try:
            return None if cancelled.is_set() else work(chapter)
        finally:
            busy.remove(chapter)

    with ThreadPoolExecutor(jobs) as pool:
        try:
            waiting = {pool.submit(guarded, chapter): chapter for chapter in chapters}
            while waiting:  # the limit is for Windows, where nothing interrupts a wait without one
                for future in wait(waiting, timeout=0.2, return_when=FIRST_COMPLETED).done:
                    yield waiting.pop(future), future.result()
        finally:
            left = True
            while left:
                with contextlib.suppress(KeyboardInterrupt):  # a second one, from an impatient hand
                    cancelled.set()
                    stop()
                    left = bool(busy)
                    time.sleep(0.1 * left)


def _earlier(output: Path, everything: list[Chapter]) -> dict[str, dict[str, Any]]:
    names = {chapter.name for chapter in everything}
    try:
        entries = json.loads((output / "results.json").read_text(encoding="utf-8"))["chapters"]
        return {
            e["chapter"]: e for e in entries if e["chapter"] in names and {"status", "seconds", "profile"} <= set(e)
        }
    except (OSError, ValueError, KeyError, TypeError):  # none yet, or not ours: this run writes a new one
        return {}


def _write_chapter(output: Path, chapter: Chapter, outcome: Outcome) -> None:
    import nbformat

    from kdnotes.show.pages import notebook_page

    suffix = "" if outcome.status == "passed" else ".failed"
    write_text(output / f"{chapter.name}{suffix}.ipynb", nbformat.writes(outcome.notebook) + "\n")
    write_text(output / f"{chapter.name}{suffix}.html", notebook_page(outcome.notebook, chapter.title))
    if not suffix:
        for kind in ("ipynb", "html"):
            (output / f"{chapter.name}.failed.{kind}").unlink(missing_ok=True)


def _write_results(
    output: Path, everything: list[Chapter], entries: dict[str, dict[str, Any]], about: dict[str, Any]
) -> None:
    from kdnotes.show.pages import index_page

    ordered = [entries[chapter.name] for chapter in everything if chapter.name in entries]
    write_text(output / "results.json", json.dumps({**about, "chapters": ordered}, indent=1) + "\n")
    rows = []
    for chapter in everything:
        entry = entries.get(chapter.name, {"status": "", "seconds": "", "error": ""})
        stem = chapter.name + {"": "", "passed": ""}.get(entry["status"], ".failed")
        files = (
            {"page": f"{stem}.html", "notebook": f"{stem}.ipynb"} if entry["status"] else {"page": "", "notebook": ""}
        )
        rows.append({"number": chapter.name[:2], "title": chapter.title, "promise": chapter.promise, **entry, **files})
    write_text(output / "index.html", index_page(rows, f"Profile {about['profile']}, data set {about['dataset']}"))


def _update(chapter: Chapter, source: bytes, notebook: Any) -> None:
    import nbformat

    if chapter.path.read_bytes() != source:
        raise ValueError(f"--update: {chapter.path} was changed while it ran; its new text is kept, run it again")
    notebook.cells = _without(notebook.cells, "injected-parameters")
    write_text(chapter.path, nbformat.writes(notebook) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a file completely or not at all; ``OSError`` names it."""
    name = None
    try:
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, prefix=".", delete=False) as file:
            name = file.name
            file.write(text)
        os.chmod(name, 0o644)
        os.replace(name, path)
    except OSError as error:
        raise OSError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        if name:
            Path(name).unlink(missing_ok=True)


class _Progress:
    """One line a chapter with elapsed and estimated remaining time; on a terminal it is live."""

    def __init__(self, names: list[str], seconds: dict[str, float], jobs: int) -> None:
        self.names, self.known, self.jobs, self.began = names, dict(seconds), jobs, time.monotonic()
        self.live = sys.stdout.isatty()
        self.finished: set[str] = set()
        self.running: dict[str, tuple[float, int, int]] = {}  # name: when it began, cells done, cells

    @contextlib.contextmanager
    def shown(self) -> Iterator[None]:
        stop = threading.Event()
        ticker = threading.Thread(target=self._tick, args=(stop,), daemon=True)
        ticker.start()
        try:
            yield
        finally:
            stop.set()
            ticker.join()

    def begin(self, name: str) -> Callable[[int, int], None]:
        """What is to be called with (cells done, cells) whenever a cell of this chapter starts."""
        since = time.monotonic()
        self.running[name] = since, 0, 1
        return lambda done, total: self.running.update({name: (since, done, total)})

    def done(self, name: str, outcome: Outcome) -> None:
        self.known[name] = outcome.seconds
        self.finished.add(name)
        self.running.pop(name)
        self._print(f"{self._number(name)} {outcome.status} in {outcome.seconds:.1f} s; {self._times()}\n")
        if outcome.error:
            print("  " + outcome.error.replace("\n", "\n  "), file=sys.stderr, flush=True)

    def _tick(self, stop: threading.Event) -> None:
        while self.live and not stop.wait(1.0):
            running = dict(self.running)
            cells = [f"{self._number(name)} cell {done + 1}/{total}" for name, (_, done, total) in running.items()]
            self._print("; ".join([*cells, self._times()])[: shutil.get_terminal_size().columns - 1])

    def _print(self, text: str) -> None:
        print(("\r\x1b[2K" if self.live else "") + text, end="", flush=True)

    def _number(self, name: str) -> str:
        return f"[{self.names.index(name) + 1}/{len(self.names)}] {name}"

    def _times(self) -> str:
        """Elapsed time, and the remaining time from earlier runs, or else from the share of cells done."""
        now, known, running = time.monotonic(), dict(self.known), dict(self.running)
        for name, (since, done, total) in running.items():
            if name not in known and done:
                known[name] = (now - since) * total / done
        text, left = f"{_clock(now - self.began)} elapsed", [name for name in self.names if name not in self.finished]
        if not left or not known:
            return text
        mean = sum(known.values()) / len(known)
        rest = sum(known.get(name, mean) - (now - running[name][0] if name in running else 0) for name in left)
        return f"{text}, about {_clock(max(rest, 0) / self.jobs)} left"


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}" if minutes >= 60 else f"{minutes}:{seconds:02d}"
