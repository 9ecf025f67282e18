"""Exports: photos rendered at full size to files, one after the other by a thread, as ``modisp render`` does it.

A picture stands under its name when it is whole, and nothing that is there already is replaced.
"""

import collections
import contextlib
import dataclasses
import os
import secrets
import shutil
import tempfile
import threading
import traceback
from pathlib import Path

from modisp_jax.editor.facts import FINAL
from modisp_jax.editor.library import NotFound
from modisp_jax.editor.settings import EXPORT_FORMATS, Export, command_of, command_text, options_of
from modisp_jax.io.names import shown
from modisp_jax.outputs import Job
from modisp_jax.render_files import FAILURES, open_session, render_jobs

MOST_JOBS = 100
"""That are remembered; of older ones, what is done is forgotten."""


@dataclasses.dataclass
class ExportJob:
    """Photos to export, and how far that is."""

    id: str
    photos: list
    """(photo, settings in normal form) each."""
    export: Export
    done: int = 0
    current: str | None = None
    files: list = dataclasses.field(default_factory=list)
    """{"photo", "name", "path", "command"} of each picture that is there."""
    places: list = dataclasses.field(default_factory=list)
    """Their paths."""
    failed: list = dataclasses.field(default_factory=list)
    """{"photo", "error"} of each that is not."""
    state: str = "waiting"
    """``waiting``, ``running``, ``done`` or ``cancelled``."""
    cancelled: bool = False

    def to_dict(self):
        """For the page."""
        names = ("done", "current", "files", "failed", "state")
        return {name: getattr(self, name) for name in names} | {"id": self.id, "total": len(self.photos)}


class Exports:
    """Export jobs, done by one thread in order.

    Args:
      library: the :class:`modisp_jax.editor.library.Library`.
      folder: for the pictures; None: beside each photo.
      fallback: for those of uploads where there is no ``folder``.
      pause: called before each photo, for example to let the interactive rendering go first.
    """

    def __init__(self, library, *, folder=None, fallback=None, pause=None):
        self._library, self.folder = library, folder
        self._fallback = Path.cwd() if fallback is None else fallback
        self._pause = pause
        self._jobs, self._queue = collections.OrderedDict(), collections.deque()
        self._ready = threading.Condition()
        self._ended, self._thread, self._hidden = False, None, None

    def folder_of(self, photo):
        """Where the pictures of a photo go."""
        return self.folder or (self._fallback if photo.uploaded else photo.path.parent)

    def command(self, photo, settings, export):
        """The line that makes the same file as exporting a photo would, were its name free."""
        return self._command(photo, settings, export, self.folder_of(photo) / _name(photo, export))

    def _command(self, photo, settings, export, place):
        """Of an upload, which will be gone, the name alone."""
        source = Path(photo.path.name) if photo.uploaded else photo.path
        return shown(command_text(command_of(source, settings, output=place, **self._common(photo, export))))

    def _common(self, photo, export):
        return {"making": self._library.making, "export": export, "finished": photo.kind == FINAL}

    def start(self, photos, export):
        """Begins a job: ``photos`` are (photo, settings in normal form) each; returns the :class:`ExportJob`."""
        job = ExportJob(secrets.token_urlsafe(9), list(photos), export)
        with self._ready:
            if self._ended:
                raise ValueError("the editor is ending")
            self._jobs[job.id] = job
            for old in [id for id, one in self._jobs.items() if one.state in ("done", "cancelled")]:
                if len(self._jobs) > MOST_JOBS:
                    del self._jobs[old]
            self._queue.append(job)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="modisp-export", daemon=True)
                self._thread.start()
            self._ready.notify_all()
        return job

    def get(self, id):
        """The job of an id; raises :class:`NotFound`."""
        with self._ready:
            if id not in self._jobs:
                raise NotFound("no such export")
            return self._jobs[id]

    def cancel(self, id):
        """Ends a job after the photo at work; returns it."""
        job = self.get(id)
        with self._ready:
            job.cancelled = True
            if job.state == "waiting":
                job.state = "cancelled"
            self._ready.notify_all()
        return job

    def wait(self, id, seconds):
        """Waits until a job is over, at most so long; returns it."""
        job = self.get(id)
        with self._ready:
            self._ready.wait_for(lambda: job.state in ("done", "cancelled"), seconds)
        return job

    def end(self, seconds):
        """Cancels all and waits for the photo at work; returns whether the thread has ended in time."""
        with self._ready:
            self._ended = True
            for job in self._jobs.values():
                job.cancelled = True
            self._ready.notify_all()
        if self._thread is not None:
            self._thread.join(seconds)
        if self._hidden is not None:  # the photo at work is not done in time: nothing of it is left
            shutil.rmtree(self._hidden, ignore_errors=True)
        return self._thread is None or not self._thread.is_alive()

    def _run(self):
        while True:
            with self._ready:
                self._ready.wait_for(lambda: self._queue or self._ended)
                if self._ended and not self._queue:
                    return
                job = self._queue.popleft()
                if not job.cancelled:
                    job.state = "running"
            self._work(job)
            with self._ready:
                job.current = None
                job.state = "cancelled" if job.cancelled and job.done < len(job.photos) else "done"
                self._ready.notify_all()

    def _work(self, job):
        for photo, settings in job.photos:
            if job.cancelled:
                return
            job.current = photo.name
            if self._pause is not None:
                self._pause()
            try:
                place = self._export(job.export, photo, settings)
                command = self._command(photo, settings, job.export, place)
                about = {"photo": photo.id, "name": shown(place.name), "path": shown(place), "command": command}
                job.places.append(place)
                job.files.append(about)
            except FAILURES as error:
                job.failed.append({"photo": photo.id, "error": self._library.words(error, photo)})
            except Exception as error:  # a mistake of ours: the other photos go on
                traceback.print_exception(error)
                job.failed.append({"photo": photo.id, "error": f"{photo.name}: unexpected {type(error).__name__}"})
            job.done += 1

    def _export(self, export, photo, settings):
        """Renders one photo into a hidden folder beside its place, then gives it the first free name; its path."""
        folder = self.folder_of(photo)
        folder.mkdir(parents=True, exist_ok=True)
        hidden = self._hidden = Path(tempfile.mkdtemp(prefix=".modisp-export-", dir=folder))
        try:
            target = hidden / _name(photo, export)
            session = open_session(options_of(settings, output=target, **self._common(photo, export)))
            raised = []
            task = Job(photo.path, {"": target}, photo.path.stem, False)
            render_jobs([task], session, lambda _, error: raised.append(error), lambda _: None)
            if raised:
                raise raised[0]
            return move_to_free_name(target, folder)
        finally:
            shutil.rmtree(hidden, ignore_errors=True)
            self._hidden = None


def _name(photo, export):
    return photo.path.stem + EXPORT_FORMATS[export.format]


def move_to_free_name(path, folder):
    """Moves a file into ``folder`` on the same disk as NAME, NAME-2, NAME-3, ...; returns its place."""
    for number in range(1, 10_000):
        place = folder / (path.name if number == 1 else f"{path.stem}-{number}{path.suffix}")
        with contextlib.suppress(FileExistsError):
            _move_unless_there(path, place)
            return place
    raise ValueError(f"{folder}: expected a free name such as {path.name}")


def _move_unless_there(path, place):
    """Moves a file whole to a name that is free; raises ``FileExistsError`` where it is not."""
    try:
        os.link(path, place)
    except FileExistsError:
        raise
    except OSError:  # a file system without links, such as a camera card's: the name is taken, then replaced
        os.close(os.open(place, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        os.replace(path, place)
    else:
        path.unlink()
