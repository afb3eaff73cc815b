"""The HPARAMS page of a folder of runs, as TensorBoard's own code makes it: every setting is a column."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.context import RequestContext
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.hparams import api_pb2, list_session_groups
from tensorboard.plugins.hparams.backend_context import Context

from attn_train.runs.tracking import Tracker
from attn_train.settings import identity
from attn_train.settings.roles import flatten


class Page:
    """What TensorBoard shows of the runs below a folder."""

    def __init__(self, folder: Path) -> None:
        multiplexer = EventMultiplexer().AddRunsFromDirectory(str(folder))
        multiplexer.Reload()
        provider = MultiplexerDataProvider(multiplexer, str(folder))
        backend, request = Context(TBContext(data_provider=provider)), RequestContext()
        experiment = backend.experiment_from_metadata(
            request,
            "",
            True,
            backend.hparams_metadata(request, ""),
            backend.hparams_from_data_provider(request, "", None),
        )
        self.columns = {one.name: one for one in experiment.hparam_infos}
        self.metrics = {one.name.tag for one in experiment.metric_infos}
        asked = api_pb2.ListSessionGroupsRequest(
            allowed_statuses=[api_pb2.STATUS_SUCCESS], start_index=0, slice_size=100
        )
        found = list_session_groups.Handler(request, backend, "", asked).run().session_groups
        self.rows = {one.name: {key: plain(value) for key, value in one.hparams.items()} for one in found}


def plain(value: Any) -> Any:
    return getattr(value, value.WhichOneof("kind"))


@pytest.mark.parametrize(
    ("given", "shown", "listed"),
    [
        ([None, 1.0], ["null", 1.0], {"null", "1.0"}),
        ([1.0, None], [1.0, "null"], {"null", "1.0"}),
        ([None, None], ["null", "null"], {"null"}),
        ([True, "auto"], [True, "auto"], {"true", "auto"}),
        ([False, None], [False, "null"], {"false", "null"}),
        (["auto", [1], [0.5, 1.0]], ["auto", "[1]", "[0.5, 1.0]"], {"auto", "[1]", "[0.5, 1.0]"}),
        ([1, True], [1.0, True], {"1.0", "true"}),
        ([{"a": [None]}, None], ['{"a": [null]}', "null"], None),
        ([float("inf"), 2.0], ["Infinity", 2.0], {"Infinity", "2.0"}),
        (["null", None], ["null", "null"], {"null"}),
    ],
    ids=lambda value: str(sorted(value) if isinstance(value, set) else value),
)
def test_a_column_has_every_value_whatever_their_types(
    tmp_path: Path, given: list[Any], shown: list[Any], listed: set[str] | None
) -> None:
    for number, value in enumerate(given):
        folder = tmp_path / str(number)
        folder.mkdir()
        tracker = Tracker(folder, 0)
        tracker.hyperparameters({"swept": value, "other": 1})
        tracker.close()
    page = Page(tmp_path)
    assert [page.rows[str(number)]["swept"] for number in range(len(given))] == shown
    column = page.columns["swept"]
    assert column.differs == (len(set(map(str, shown))) > 1)
    if listed is not None:
        assert column.type == api_pb2.DATA_TYPE_STRING
        assert {plain(one) for one in column.domain_discrete.values} == listed


def test_numbers_and_switches_keep_their_type(tmp_path: Path) -> None:
    for number, (rate, switch) in enumerate([(1, True), (0.5, False)]):
        (tmp_path / str(number)).mkdir()
        tracker = Tracker(tmp_path / str(number), 0)
        tracker.hyperparameters({"rate": rate, "switch": switch})
        tracker.close()
    columns = Page(tmp_path).columns
    assert columns["rate"].type == api_pb2.DATA_TYPE_FLOAT64
    assert (columns["rate"].domain_interval.min_value, columns["rate"].domain_interval.max_value) == (0.5, 1.0)
    assert columns["switch"].type == api_pb2.DATA_TYPE_BOOL


def test_every_setting_of_real_runs_is_a_column(attention_run: Path, plain_run: Path, tmp_path: Path) -> None:
    runs = {"attention": attention_run, "plain": plain_run}
    for name, run in runs.items():
        (tmp_path / name).mkdir()
        for path in run.glob("events.out.tfevents.*"):
            shutil.copy(path, tmp_path / name)
    page = Page(tmp_path)
    assert {"accuracy/test", "accuracy/val", "loss/test"} <= page.metrics
    for name, run in runs.items():
        written = flatten(yaml.safe_load((run / "config.yaml").read_text()))
        settings = {key: value for key, value in written.items() if identity.role(key).identity}
        assert settings.keys() == page.rows[name].keys() <= page.columns.keys()
        for key, value in settings.items():
            as_shown = value if isinstance(value, bool | float | int | str) else json.dumps(value)
            assert page.rows[name][key] == as_shown, key
    assert {plain(one) for one in page.columns["seeds.init"].domain_discrete.values} == {"null"}
    assert page.columns["dataset.val_size"].differs
