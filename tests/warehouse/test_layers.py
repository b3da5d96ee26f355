"""The models' graph: what a layer reads lies in it or before it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from lifecycle import settings as settings_module
from lifecycle.warehouse.build import PROJECT, read_project

LAYERS = ("staging", "intermediate", "marts")
SUBJECTS = {"accounts", "activity", "feed", "health", "scoring", "usage"}
MODELS = PROJECT / "models"


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Every model, snapshot and source of the manifest, by its unique id."""
    folder = tmp_path_factory.mktemp("layers")
    manifest = read_project(settings_module.load(None, state={"dir": folder}))
    kept = ("model", "snapshot")
    models = {key: node for key, node in manifest.nodes.items() if node.resource_type in kept}
    return {**models, **manifest.sources}


def layer_of(node: Any) -> int:
    """The place of a node's layer; a snapshot or a source comes before staging."""
    return LAYERS.index(node.fqn[1]) if node.resource_type == "model" else -1


def reads(nodes: dict[str, Any]) -> list[tuple[Any, Any]]:
    """Every model with each node that it reads."""
    return [
        (node, nodes[parent])
        for node in nodes.values()
        if node.resource_type == "model"
        for parent in node.depends_on.nodes
    ]


def named(pairs: list[tuple[Any, Any]]) -> list[str]:
    return sorted(f"{node.name} reads {parent.name}" for node, parent in pairs)


def test_no_model_reads_a_later_layer(nodes: dict[str, Any]) -> None:
    pairs = reads(nodes)
    assert len(pairs) > 100
    backward = [(node, parent) for node, parent in pairs if layer_of(parent) > layer_of(node)]
    assert named(backward) == []


def test_only_staging_reads_what_was_delivered(nodes: dict[str, Any]) -> None:
    of_sources = [pair for pair in reads(nodes) if pair[1].resource_type == "source"]
    later = [pair for pair in of_sources if layer_of(pair[0]) > 0]
    assert named(later) == [
        "int_health_before reads account_health_daily",
        "int_health_days_kept reads account_health_daily",
    ], "the history is none: it is what these models left in earlier runs"


def test_a_model_lies_in_the_folder_of_its_subject(nodes: dict[str, Any]) -> None:
    prefixes = {"staging": "stg_", "intermediate": "int_", "marts": ""}
    for node in nodes.values():
        if node.resource_type != "model":
            continue
        _, layer, *subject, name = node.fqn
        assert name.startswith(prefixes[layer]), name
        assert len(subject) == (1 if layer == "intermediate" else 0), node.fqn
        assert set(subject) <= SUBJECTS, node.fqn


def test_every_model_has_a_description_of_its_own() -> None:
    for file in MODELS.rglob("*.sql"):
        described = YAML(typ="safe", pure=True).load(file.with_suffix(".yml").read_text("utf-8"))
        assert [model["name"] for model in described["models"]] == [file.stem]
    elsewhere = {Path("exposures.yml"), Path("staging/sources.yml")}
    without_model = {
        file.relative_to(MODELS)
        for file in MODELS.rglob("*.yml")
        if not file.with_suffix(".sql").exists()
    }
    assert without_model == elsewhere
