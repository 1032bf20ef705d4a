"""The verb `train`: config + data dirs + dump -> experiment."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import torch
from tqdm.contrib.logging import logging_redirect_tqdm

from lipsound2 import model_names
from lipsound2.arguments import AtLeast0
from lipsound2.converted import origin_of
from lipsound2.data.datadir import DataDir
from lipsound2.data.yaml_files import write_yaml
from lipsound2.errors import LipsoundError
from lipsound2.experiment import load
from lipsound2.files import folder_lock, look_again, sweep
from lipsound2.fingerprint import NAME as FINGERPRINT
from lipsound2.fingerprint import Fingerprint, note_sizes_again
from lipsound2.jobs.slurm import training as slurm
from lipsound2.model_names import CARD, CONFIG
from lipsound2.outputs import OutputFolder
from lipsound2.tasks import RunConfig, load_config
from lipsound2.tasks.base import Adversarial, Prepared
from lipsound2.timing import FRAME_RATE
from lipsound2.train_config import GROWING
from lipsound2.training import checkpoint, distributed
from lipsound2.training.average import MODEL, choose, mean_weights, weight_files, write_average
from lipsound2.training.beginning import check_exists, check_source, differences, fresh
from lipsound2.training.distributed import World
from lipsound2.training.init import initialize, initialize_discriminator
from lipsound2.training.loop import Loop
from lipsound2.training.memory import keep_freed_memory
from lipsound2.training.monitor import LOG, Monitor, open_log
from lipsound2.training.precision import RESOLVED, resolved, with_precision
from lipsound2.training.record import NAME as VERSIONS
from lipsound2.training.record import Record
from lipsound2.training.stop import StopSwitch
from lipsound2.versions import read_runs

log = logging.getLogger(__name__)


def train(
    config: Path,
    *,
    train: Path,
    valid: Path,
    dump: Path,
    exp: OutputFolder,
    init: Path | None = None,
    override: str = "",
    ngpu: AtLeast0 = 0,
    launcher: Literal["local", "slurm"] = "local",
) -> int:
    """Train a network by a config. The same command resumes a training that was stopped or killed.

    Args:
        config: YAML file: task, model, and how to train.
        train: data dir of the training set.
        valid: data dir of the validation set, which selects the best weights.
        dump: folder of crops and features.
        exp: folder of the experiment, a new one or one to resume.
        init: experiment, pack or its name, weights or checkpoint with the first weights; optimizer and schedule start
            anew.
        override: config keys with other values, such as "max_epochs: 12, lr: 1e-4".
        ngpu: number of GPUs, on each node with slurm; 0: the CPU.
        launcher: local, this machine, or slurm, a job on the nodes that LIPSOUND2_SBATCH_TRAIN asks for; see
            docs/cluster.md.
    """
    init = init and model_names.path_of(init)
    asked = load_config(config, override)
    try:
        asked.task.check_training()
    except LipsoundError as error:
        raise LipsoundError(f"{config}{' with --override' if override else ''}: {error}") from error
    inputs = [train, valid, *asked.task.inputs(dump)]
    run = pinned(asked, exp, inputs)
    if fingerprint_of(run, exp, inputs).same():
        check_init(exp, init)
        adopt_config(run, exp)
    if is_trained(run, exp, inputs):
        log.info("%s is trained with this config on this data: nothing to do (delete the folder to train again)", exp)
        return 0
    check_config(run, exp, init)
    if init is not None and not checkpoint.existing(exp / checkpoint.FOLDER):
        check_source(init, run)
    paths = {"train": train, "valid": valid, "dump": dump, "exp": exp, "init": init}
    given = {name: str(path) for name, path in paths.items() if path is not None}
    options = [part for name, path in given.items() for part in (f"--{name}", path)]
    options += ["--override", override] if override else []
    command = ["train", str(config), *options, "--ngpu", str(ngpu)]
    if launcher == "slurm":

        def trained() -> bool:
            look_again(exp)
            return is_trained(pinned(run, exp, inputs), exp, inputs)

        return slurm.follow(exp, command, ngpu, trained, lambda: checkpoint.existing(exp / checkpoint.FOLDER))
    if ngpu > 1 and not distributed.launched():
        return distributed.spawn(ngpu, command)
    switch = StopSwitch(patient=distributed.launched())
    for mark, what in (("utt2spk", "a data dir"), (CARD, "a pack")):
        if (exp / mark).exists() and not (exp / checkpoint.FOLDER).exists():
            raise LipsoundError(f"{exp}: is {what}, which would be lost; choose another folder for --exp")
    with distributed.join(ngpu) as world, experiment_lock(exp, world):
        log.info("training %s as %s says; reading the clips of %s", exp, config, train)
        run = resolved(run, world)
        prepare_torch(run, world)
        networks = [load(name).model for name in run.task.networks()]
        data = run.task.prepare(DataDir(train), DataDir(valid), dump)
        data = data._replace(assets=run.task.equipped(data.assets, networks))
        loop = begin_or_resume(run, data, world, exp, init, switch)
        fingerprint = fingerprint_of(run, exp, inputs)
        with switch.listen(), write_down(run, loop, exp, given, fingerprint) as monitor:
            ended = loop.run(monitor)
            if ended and world.first:
                finish(loop, exp)
                fingerprint.write()
        status = 0 if ended else log_stop(switch, loop)
    if distributed.launched():
        distributed.leave(status)
    return status


def fingerprint_of(run: RunConfig, exp: Path, inputs: Sequence[Path]) -> Fingerprint:
    """The mark of a training that has ended: of everything that its weights depend on."""
    options = {key: value for key, value in run.mapping().items() if key not in run.free}
    return Fingerprint(exp, "train", options, inputs, [MODEL], [CONFIG, *run.task.files])


def is_trained(run: RunConfig, exp: Path, inputs: Sequence[Path]) -> bool:
    """Whether there is nothing left to do."""
    return fingerprint_of(run, exp, inputs).up_to_date()


def check_config(run: RunConfig, exp: Path, init: Path | None) -> None:
    """Refuse to go on in a folder that was begun with another config, or from other weights.

    Keys that do not matter for the result may differ, limits may grow, and `accumulate` may change with the number of
    processes (their product is compared with the checkpoint's).

    Raises:
        LipsoundError: names the keys that differ.
    """
    if not checkpoint.existing(exp / checkpoint.FOLDER):
        return
    begun = begun_with(exp)
    if begun is None:
        raise LipsoundError(
            f"{exp / CONFIG} is missing or damaged, and a training goes on by it; copy {CONFIG} back, or give another "
            f"--exp, with --init {checkpoint.existing(exp / checkpoint.FOLDER)[0]} to begin from its weights"
        )
    before, now = begun.mapping(), run.mapping()
    check_init(exp, init)
    changed = [
        f"{key} {before.get(key)} -> {now.get(key)}"
        for key in sorted({*before, *now} - run.free - {"accumulate"})
        if before.get(key) != now.get(key) and not (key in GROWING and _grew(before[key], now[key]))
    ]
    if changed:
        raise LipsoundError(
            f"{exp} was begun with another config: {'; '.join(changed)}; set them back to go on, or give another --exp "
            "(with --init to begin from these weights)"
        )


def check_init(exp: Path, init: Path | None) -> None:
    """Refuse other first weights than those that an experiment was begun from.

    It needs these no more, so they may be gone.

    Raises:
        LipsoundError: there are none at `init`, or others than it was begun from.
    """
    runs = read_runs(exp / VERSIONS)
    if init is None or not runs:
        return
    # The last start that had some counts: one before it may have failed, and left nothing.
    begun = next((run for run in reversed(runs) if run.get("init")), runs[0])
    begun_from = begun.get("init")
    if begun_from is None or not _same_weights(begun_from, init, begun.get("exp") or exp, exp):
        check_exists(init)
        raise LipsoundError(
            f"{exp} was begun from {begun_from or 'fresh weights'}, not from {init}; give another --exp"
        )


def _same_weights(before: str, now: Path, exp_before: Path | str, exp: Path) -> bool:
    """Whether first weights are the same: by a link, too, or moved with the recipe or the toolkit that ships them."""
    if now.exists() and Path(before).exists() and now.samefile(before):
        return True
    if now.parent == model_names.PRETRAINED and Path(before).parts[-2:] == now.parts[-2:]:
        return True
    return before == str(now) or os.path.relpath(before, exp_before) == os.path.relpath(now, exp)


def begun_with(exp: Path) -> RunConfig | None:
    """The config of the experiment in `exp`; None where it is missing or damaged."""
    with contextlib.suppress(LipsoundError):
        return load_config(exp / CONFIG)
    return None


def pinned(run: RunConfig, exp: Path, inputs: Sequence[Path]) -> RunConfig:
    """The config with `precision: auto` as the experiment in `exp` settled it, if there is one.

    Its config says it; where that is damaged, the mark of a training that has ended.
    """
    if run.train.precision != "auto":
        return run
    if begun := begun_with(exp):
        return with_precision(run, begun.train.precision)
    if not (exp / FINGERPRINT).exists():
        return run
    perhaps = [with_precision(run, precision) for precision in RESOLVED]
    return next((each for each in perhaps if fingerprint_of(each, exp, inputs).same()), run)


def adopt_config(run: RunConfig, exp: Path) -> None:
    """Write a trained experiment's config again where it is damaged, or keys were changed that matter for use alone."""
    before = begun_with(exp)
    if before is not None and before.mapping() == run.mapping():
        return
    write_yaml(exp / CONFIG, run.mapping())
    note_sizes_again(exp, CONFIG)
    if before is None:
        log.info("%s was missing or damaged; it is written again", exp / CONFIG)
    else:
        log.info("%s: the config was changed in keys that the weights do not depend on; it is used from now on", exp)


def _grew(before: int, now: int) -> bool:
    """Whether a limit was raised; 0 is no limit at all."""
    return now == 0 or 0 < before < now


@contextlib.contextmanager
def experiment_lock(exp: Path, world: World) -> Iterator[None]:
    """Hold the experiment's folder and write its log, on process 0; the others are silent but for errors.

    Warnings hold for all of them, and are logged once.

    A training that is refused before it has written anything leaves no folder with a log that looks like one.
    """
    if not world.first:
        logging.getLogger("lipsound2").setLevel(logging.ERROR)
        yield
        return
    with folder_lock(exp, "train"):
        sweep(exp / checkpoint.FOLDER)
        handler = open_log(exp)
        try:
            with logging_redirect_tqdm():
                yield
        except LipsoundError as error:
            # To the file alone: the command line prints it.
            handler.handle(log.makeRecord(log.name, logging.ERROR, __file__, 0, "%s", (error,), None))
            raise
        finally:
            logging.getLogger("lipsound2").removeHandler(handler)
            handler.close()
            if {path.name for path in exp.iterdir()} <= {LOG, ".lock"}:
                (exp / LOG).unlink(missing_ok=True)


def prepare_torch(run: RunConfig, world: World) -> None:
    """Seed the first weights, the same on every process, and set how matrices are multiplied."""
    torch.manual_seed(run.train.seed)
    torch.set_float32_matmul_precision("high" if run.train.tf32 else "highest")
    if world.device.type == "cpu":
        keep_freed_memory()


def begin_or_resume(
    run: RunConfig, data: Prepared[Any, Any], world: World, exp: Path, init: Path | None, switch: StopSwitch
) -> Loop:
    """The loop at the newest whole checkpoint, or at the beginning: with fresh weights, or those of `init`."""
    if not world.first:
        world.wait()  # process 0 sets a damaged checkpoint aside
    content = checkpoint.newest(exp / checkpoint.FOLDER)
    if world.first:
        world.wait()
    model = run.task.build(data.assets)
    discriminator = run.task.discriminator() if isinstance(run.task, Adversarial) else None
    if init is not None and content is None:
        for line in differences(init, run):
            log.warning("%s", line)
        loaded = initialize(model, init, run.train.init_only)
        if line := fresh(init, run, data.assets, model.state_dict(), loaded):
            log.warning("%s", line)
        if discriminator is not None:
            initialize_discriminator(discriminator, init)
    # From here on every process draws numbers of its own.
    torch.manual_seed(run.train.seed + world.rank)
    discriminator = discriminator.to(world.device) if discriminator is not None else None
    loop = Loop(run.train, run.task, model.to(world.device), data, world, exp, switch, discriminator)
    if content is not None:
        loop.restore(content)
        log.info("going on after update %d (epoch %d)", loop.state.update, loop.state.epoch + 1)
    return loop


@contextlib.contextmanager
def write_down(
    run: RunConfig, loop: Loop, exp: Path, given: dict[str, str], fingerprint: Fingerprint
) -> Iterator[Monitor | None]:
    """The experiment's files around a training: config, versions, curves, events. None but on process 0."""
    if not loop.world.first:
        yield None
        return
    fingerprint.clear()
    write_yaml(exp / CONFIG, run.mapping())
    run.task.save(loop.assets, exp)
    origin = origin_of(Path(given["init"])) if "init" in given else None
    facts = {**(asdict(origin) if origin else {}), "clips": len(loop.train_clips.ids)}
    record = Record(exp, loop.world, given | facts)
    log_summary(loop)
    state, options = "failed", run.train
    try:
        with Monitor(
            exp,
            record,
            update=loop.state.update,
            progress=loop.progress,
            log_every=options.log_every,
            tensorboard=options.tensorboard,
        ) as monitor:
            yield monitor
        state = loop.ended or "stopped"
    finally:
        record.note(loop.state.update, state)


def log_summary(loop: Loop) -> None:
    """Say what is trained, on how much, where, and for how long."""
    config, parameters = loop.config, sum(parameter.numel() for parameter in loop.generator.parameters)
    limits = [f"{config.max_epochs} epochs"] if config.max_epochs else []
    limits += [f"{config.max_updates} updates"] if config.max_updates else []
    log.info(
        "%.2f M parameters on %s (%d process(es), %d threads each); %d clips, up to %.2f hours of video in %d "
        "updates an epoch; %d clips to validate on; at most %s",
        *(parameters / 1e6, loop.world.device, loop.world.size, torch.get_num_threads(), len(loop.train_clips.ids)),
        *(sum(loop.train_clips.lengths) / FRAME_RATE / 3600, len(loop.updates.epoch(loop.state.epoch))),
        *(len(loop.valid_clips.ids), " or ".join(limits)),
    )


def finish(loop: Loop, exp: Path) -> None:
    """Average the evaluated weights; where the average scores less than the first of them alone, take that one."""
    config, table = loop.config, loop.state.table
    rows = choose(table, config.average, config.keep_best)
    log.info("training ends: %s, %d updates", loop.ended, loop.state.update)
    if len(rows) > 1:
        model = loop.evaluated_model
        model.load_state_dict(mean_weights(weight_files(exp, rows)))
        score = loop.evaluate(model).score
        single = choose(table, config.average, 1)
        log.info(
            "score of the average of %d: %.4f; of the %s one alone: %.4f",
            len(rows),
            score,
            config.average,
            single[0].score,
        )
        if not score >= single[0].score:
            rows = single
    write_average(exp, rows, exp / MODEL)


def log_stop(switch: StopSwitch, loop: Loop) -> int:
    """Say how to go on after a stop; returns the exit status."""
    log.info("stopped after update %d, checkpoint written; the same command goes on from here", loop.state.update)
    # Of several processes all stop when one got a signal.
    return switch.status if switch.signal else 128 + signal.SIGTERM
