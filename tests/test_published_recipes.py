"""Recipes that begin from published weights, on a generated corpus. Weights made by a rule teach nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from helpers.published_weights import reader_state
from helpers.recipe_copies import recipes_in, run
from safetensors.torch import load_file

from lipsound2.data.archive import Archive
from lipsound2.data.yaml_files import read_yaml
from lipsound2.published.avsr import convert_avsr
from lipsound2.synthetic.corpus import generate

KNOWS = "nothing: these weights were made by a rule, and teach nothing"


@pytest.fixture(scope="module")
def grid(tmp_path_factory) -> Path:
    """GRID's recipe, small, beside a generated corpus and a pack."""
    folder = tmp_path_factory.mktemp("published recipes")
    recipe = recipes_in(folder, "grid") / "grid"
    generate(recipe / "faces", clips=12, speakers=1, nj=1)
    torch.save(reader_state(), recipe / "made_up.pth")
    units = ["<unk>", *(f"\u2581X{number}" for number in range(38))]
    (recipe / "units.txt").write_text("".join(f"{piece} {n}\n" for n, piece in enumerate(units, start=1)))
    convert_avsr(recipe / "made_up.pth", recipe / "reader", tokens=recipe / "units.txt", knows=KNOWS)
    return recipe


@pytest.mark.slow
def test_lip_to_speech_from_a_published_trunk(grid):
    """From the pack's trunk and from a fresh one as large: crops as it saw them, what the pack says, a table."""
    options = ["--corpus", "faces", "--protocol", "mini", "--runs", "3:0", "--tuning", "1", "--out", "exp/published"]
    told = run(grid, *options, "--modes", "published fresh", "--pack", "reader", script="run_pretrain.sh")
    assert f"published trunk, Knows: {KNOWS}" in told
    assert "published trunk, License: the file's own" in told
    assert "(trunk alone): 120 tensors taken, 0 of another shape, 0 not in the file, 0 not in this network" in told
    assert "--init reader: its trunk saw" not in told
    assert (grid / "exp/published.md").read_text().startswith("| training clips | published | fresh |")
    assert Archive(grid / "dump/mouth-published").meta["size"] == 96
    trained = {mode: grid / f"exp/mini_{mode}_3_0" for mode in ("published", "fresh")}
    configs = {mode: read_yaml(exp / "config.yaml") for mode, exp in trained.items()}
    assert configs["published"] == configs["fresh"] | {"init_only": ["trunk"]}
    assert configs["fresh"]["trunk_activation"] == "swish"
    assert configs["fresh"]["input"] == "mouth-published"
    runs = {mode: read_yaml(exp / "versions.yaml")["runs"][0] for mode, exp in trained.items()}
    assert "convert-avsr made_up.pth" in runs["published"]["origin"]
    assert not {"init", "license", "origin"} & {*runs["fresh"]}
    begun, other = (load_file(exp / "model.safetensors") for exp in trained.values())
    name = "encoder.trunk.stages.5.conv1.weight"
    theirs = load_file(grid / "reader/model.safetensors")[name]
    assert (begun[name] - theirs).abs().max() < 0.1 * (other[name] - theirs).abs().max(), "one update away"


def test_a_mode_without_its_pack_is_refused_at_once(grid):
    for pack, message in (
        ((), "--pack: say whose trunk the mode published takes: --pack FOLDER"),
        (("--pack", "raeder"), "--pack raeder: no such folder; did you mean reader?"),
        (("--pack", "conf"), "--pack conf: no model with a trunk there; wanted: a converted lip reader"),
    ):
        options = ["--corpus", "faces", "--modes", "scratch published", *pack]
        told = run(grid, *options, script="run_pretrain.sh", fails=True)
        assert message in told
        assert len(told.splitlines()) == 1
