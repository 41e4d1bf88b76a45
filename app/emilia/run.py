"""The command `emilia`: a shard of recordings, step after step; then the corpus: filter, export, tables."""

from __future__ import annotations

import dataclasses
import shutil
import time
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Any

from app.display import Display
from app.emilia.crew import MODULE, Crew
from app.emilia.dataset import Dataset
from app.emilia.elsewhere import Elsewhere
from app.emilia.filters import verdicts
from app.emilia.ledger import Ledger
from app.emilia.plan import Plan, Recording, redone, shapes_of_the_pure
from app.emilia.prepare import find_models, with_separator
from app.emilia.request import EmiliaRequest
from app.emilia.sources import Source
from app.emilia.steps import STEPS, Item
from app.emilia.steps.export import Export
from app.emilia.worker import Models, StepTask, make_step
from app.errors import InputError, UsageError
from app.places import need, places, visible_cards
from app.remote import shown
from app.settings import Settings
from app.supervisor import Hire, on_this_machine
from app.surroundings import in_words, read_surroundings


def emilia(request: EmiliaRequest) -> int:
    """Do it; returns the exit code: 0 all done, 1 some recordings failed. Raises UsageError and WorkError."""
    begin = time.monotonic()
    with Display() as display:
        if request.url:
            display.say(f"made in {request.out}; sent to {shown(request.url)} when it is whole")
        request = with_separator(request, display)
        models = find_models(request, display)
        ledger = Ledger(request.out)
        ledger.make()
        elsewhere = Elsewhere(request.url, request.out, display) if request.url and not request.shard else None
        with ledger.locked(request.shard), elsewhere.locked() if elsewhere else nullcontext():
            one = _Run(request, models, ledger, display, elsewhere)
            one.check_settings()
            code = one.run()
        display.say(f"took {time.monotonic() - begin:.1f} s")
    return code


class _Run:
    def __init__(
        self, request: EmiliaRequest, models: Models, ledger: Ledger, display: Display, elsewhere: Elsewhere | None
    ) -> None:
        self._request, self._models, self._ledger, self._display = request, models, ledger, display
        self._elsewhere = elsewhere
        self._shapes: dict[str, Any] = shapes_of_the_pure(request.emilia)
        for name in STEPS:
            if name != "separate" or request.emilia.separation_model:
                step = make_step(name, request.emilia, models, request.app.device, request.app.threads, request.out)
                self._shapes[name] = dict(step.shape())
        self._plan = Plan(ledger, self._shapes, request.emilia)
        self._recordings: list[Recording] = []
        self._settings: list[Settings] = []
        """By place: of a machine's own profile, and with the threads of one worker."""
        self._where: dict[str, list[str]] = {}
        """The workers' names and machines, if that is not this one."""

    def check_settings(self) -> None:
        """Say what differs from the last run here. Raises UsageError unless that is meant."""
        before = self._ledger.settings()
        differ, steps = redone(before, self._shapes) if before else ([], [])
        if differ:
            line = f"{self._request.out}: the last run here had {'; '.join(differ)}"
            if not self._request.redo:
                again = f"{', '.join(steps)} would be done again"
                raise UsageError(f"{line}: {again}; --redo does it, or name another folder")
            self._display.say(f"{line}: {', '.join(steps)} is done again where it changes something", "yellow")
        self._ledger.keep_settings(self._shapes)

    def run(self) -> int:
        """Returns the exit code."""
        chosen = [source for source in self._request.sources if not self._request.shard or self._in_shard(source)]
        part = f" of {len(self._request.sources)} (shard {self._request.shard})" if self._request.shard else ""
        self._display.say(f"{len(chosen)}{part} recording{'s' * (len(chosen) != 1 or bool(part))}")
        self._recordings = [self._take(source) for source in chosen]
        self._ledger.keep_contents(self._request.shard)
        if not self._request.shard:
            self._ledger.remove_parts()
        resident = self._request.app.resident
        with ExitStack() as stack:
            hire = self._engine(stack)
            number = len(self._settings)
            crew = Crew(number, hire, self._ledger, self._display, self._task, resident=resident, **self._where)
            whole = self._steps(stack.enter_context(crew))
        failed = [each for each in self._recordings if each.failed]
        for each in failed:
            assert each.failed
            step, reason = each.failed
            said = reason if reason.startswith(f"{step}: ") else f"{step}: {reason}"
            place = shown(each.source.path)
            line = reason if reason.startswith(place) else f"{place}: {said}"
            known = " (in quarantine: --retry tries it again)" if each.quarantined else ""
            self._display.say(line + known, "red")
        return 1 if failed or not whole else 0

    def _steps(self, crew: Crew) -> bool:
        """All that were asked for; returns whether the dataset, if it was asked for, is whole."""
        for step in self._plan.steps:
            if step == "export":
                if self._request.shard:
                    break  # which segments are kept is decided over the whole corpus
                self._filter()
            self._step(step, crew)
        if self._request.shard:
            again = "when all shards are through, the same command without --shard makes the dataset"
            self._display.say(f"shard {self._request.shard} is through; {again}")
            return True
        if not set(self._plan.steps) <= set(self._request.steps):
            return True
        dataset = Dataset(self._request.out, self._plan, self._ledger, self._recordings)
        whole = dataset.publish(crew, self._display, self._request.emilia.audio_format)
        if whole:
            self._prune(dataset)
            if self._elsewhere:
                self._elsewhere.send()
        return whole

    def _prune(self, dataset: Dataset) -> None:
        """Remove what the dataset has no use for, or say that it is there."""
        here = {recording.source.id for recording in self._recordings}
        strange = [folder for folder in Export.folders(self._request.out) if folder.name not in here]
        if not self._request.prune:
            if strange:
                what = f"{len(strange)} folder{'s are' if len(strange) > 1 else ' is'} of recordings that IN has not"
                self._display.say(f"{what}: in no table; --prune removes them", "yellow")
            return
        for folder in strange:
            shutil.rmtree(folder)
        freed = self._ledger.prune({key for recording in self._recordings for key in recording.keys.values()})
        folders = f"{len(strange)} folder{'s' * (len(strange) != 1)}"
        self._display.say(f"pruned: {folders}, and {in_words(freed)} of results that nothing here needs")

    def _in_shard(self, source: Source) -> bool:
        return self._request.shard is not None and self._request.shard.has(source)

    def _take(self, source: Source) -> Recording:
        try:
            size = source.path.stat().st_size if isinstance(source.path, Path) else source.size or 0
            return Recording(source, self._ledger.content(source), size)
        except OSError as error:
            return Recording(source, "", 0, ("standardise", f"{source.path}: {error.strerror}"))
        except InputError as error:
            return Recording(source, "", 0, ("standardise", str(error)))

    def _engine(self, stack: ExitStack) -> Hire:
        """How workers are started, here or on Ray; said."""
        app, asked = self._request.app, self._request.workers
        model = Path(self._models.recogniser.model)
        most = need(model, resident=app.resident)
        if self._request.engine == "local":
            cards = visible_cards() if app.device != "cpu" else []
            found = places(asked, app.threads, app.device, most, len(self._recordings), read_surroundings(), cards)
            self._settings = [dataclasses.replace(app, threads=found.threads)] * found.number
            self._display.say(found.said)
            return on_this_machine(MODULE, found.environment)
        from app.cluster.engine import Cluster

        self._display.step("starting Ray" if self._request.address is None else "joining Ray")
        cluster = stack.enter_context(Cluster(self._request.address, app, self._request.given))
        here = [each.source.path for each in self._recordings if not each.failed]
        some = [str(path) for path in here if isinstance(path, Path)][:1]
        paths = [self._models.scorer, str(model), *some]
        self._display.say(cluster.survey(self._ledger.folder, paths, most, asked, len(self._recordings)))
        self._settings = [seat.settings for seat in cluster.seats]
        self._where = {"names": cluster.names, "machines": cluster.machines}
        return lambda place: cluster.hire(place, MODULE)

    def _task(self, step: str, items: tuple[Item, ...], place: int) -> StepTask:
        request = self._request
        here = self._settings[place]
        recogniser = dataclasses.replace(
            self._models.recogniser,
            device=here.device,
            compute_type=here.compute_type,
            batch_size=here.batch_size,
            threads=here.threads,
        )
        models = dataclasses.replace(self._models, recogniser=recogniser)
        return StepTask(
            step,
            items,
            str(request.out),
            request.emilia,
            models,
            here.device,
            here.threads,
        )

    def _step(self, step: str, crew: Crew) -> None:
        todo: dict[str, Item] = {}
        waiting: list[tuple[Recording, str]] = []
        early = 0
        for recording in self._recordings:
            if recording.failed:
                continue
            if (item := self._plan.item(step, recording)) is None:
                early += 1
                continue
            if self._plan.is_done(step, item, self._request.out):
                continue
            if self._request.retry:
                self._ledger.forget_tries(item.key)
            if not (tries := self._ledger.tries(item.key)).over and step in self._request.steps:
                todo.setdefault(item.key, item)  # of equal recordings one is enough
            elif tries.over:
                recording.failed, recording.quarantined = (step, tries.reason), True
            waiting.append((recording, item.key))
        if early and step in self._request.steps:
            self._display.say(f"{step}: not done for {early} of {len(self._recordings)}: a step before is", "yellow")
        if todo:
            crew.take(step, list(todo.values()))
        for recording, key in waiting:
            if not recording.failed and (tries := self._ledger.tries(key)).over:
                recording.failed = (step, tries.reason)

    def _filter(self) -> None:
        """Set the verdicts of all segments: the bounds of the speaking rate are the corpus'."""
        every = [[] if each.failed else self._plan.candidates(each) or [] for each in self._recordings]
        found = iter(verdicts([each for one in every for each in one], self._request.emilia))
        for recording, one in zip(self._recordings, every, strict=True):
            recording.verdicts = [next(found) for _ in one]
