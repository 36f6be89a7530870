"""What ranks are told of experiment tracking, from the settings' text to their variables."""

from __future__ import annotations

import pytest
from test_launch_golden import gang, job, node

from beowulf.launch import processes
from beowulf.model.errors import BadInput
from beowulf.specs.settings import parse_settings

TEXT = "tracking: {mlflow: 'http://mlflow.lab:5000', tensorboard: runs/}\n"


def told(text: str, **spec: object) -> dict[str, str]:
    allocation = gang(2, 1)
    nodes = {"n1": node(1), "n2": node(2)}
    tracking = parse_settings(text, name="settings.yaml").tracking
    task = job(allocation, **spec)
    started = processes(task, allocation, nodes, master_port=1, cluster="lab", tracking=tracking)
    env = started["n2"].env
    return {name: env[name] for name in sorted(env) if name.startswith(("MLFLOW", "TENSORBOARD"))}


def test_every_rank_finds_the_server_and_its_folder() -> None:
    assert told(TEXT) == {
        "MLFLOW_EXPERIMENT_NAME": "train",
        "MLFLOW_RUN_NAME": "train-17",
        "MLFLOW_TRACKING_URI": "http://mlflow.lab:5000",
        "TENSORBOARD_LOGGING_DIR": "/home/u2/.beowulf/lab/n2/attempts/17.1/work/runs",
    }
    assert told(TEXT, project="vision")["MLFLOW_EXPERIMENT_NAME"] == "vision"
    assert told("tracking: {mlflow: 'http://m', experiment: all}", project="vision")["MLFLOW_EXPERIMENT_NAME"] == "all"


def test_a_jobs_own_variables_win_and_without_the_section_there_are_none() -> None:
    assert told(TEXT, envs={"MLFLOW_RUN_NAME": "mine"})["MLFLOW_RUN_NAME"] == "mine"
    assert told("") == {}


@pytest.mark.parametrize(
    "address",
    ["https://m.example/x", "databricks", "databricks://lab", "postgresql+psycopg://u@db/x", "file:/srv/mlruns"],
)
def test_every_address_that_mlflow_documents_is_taken(address: str) -> None:
    assert told(f"tracking: {{mlflow: '{address}'}}")["MLFLOW_TRACKING_URI"] == address


@pytest.mark.parametrize(
    "address", ["ftp://m.lab/x", "mlflow.lab:5000", "https://", "http:///x", "javascript://x", "file:x", "s3://x/y"]
)
def test_another_address_is_refused_with_those_that_mlflow_knows(address: str) -> None:
    with pytest.raises(BadInput, match=r"settings.yaml:1:20: tracking.mlflow .* is no address that MLflow knows"):
        told(f"tracking: {{mlflow: '{address}'}}")


@pytest.mark.parametrize("wrong", ["mlflow: no url", "tensorboard: /tmp", "tensorboard: ../x", "wandb: x"])
def test_what_is_wrong_is_told_with_its_place(wrong: str) -> None:
    with pytest.raises(BadInput, match=r"settings.yaml:2:"):
        parse_settings(f"tracking:\n  {wrong}\n", name="settings.yaml")
