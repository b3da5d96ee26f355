"""The monthly flow: fits the parameters of health and dormancy, and stores a version."""

from __future__ import annotations

from typing import Any

from prefect import flow

from flows.logs import begin_log
from flows.names import timed
from lifecycle import settings as settings_file
from lifecycle.evaluation.fit_report import Fitted
from lifecycle.health import fit
from lifecycle.report.watcher import watched
from lifecycle.state_lock import only_one


@flow(name="fit-scores", flow_run_name=timed("fit scores"), persist_result=False)
def fit_scores(config: str | None = None) -> dict[str, Any]:
    """Fit the scores on the last run's data. Safe to repeat: the same data is the same version.

    Args:
        config: The lifecycle.toml to use. Empty: the one in the working directory.
    """
    settings = settings_file.load(config)
    begin_log(settings)
    with only_one(settings.state_dir):
        fit_of_scores = fit.fit_scores(settings, progress=watched().step)
    return Fitted(fit_of_scores, settings).as_json()
