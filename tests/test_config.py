"""alloop.toml and the environment: what overrides what, and one sentence for every mistake."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from alloop.config import Config, load_config
from alloop.doctor import diagnose
from alloop.errors import AlloopError, ConfigError
from alloop.ledger.database import open_database
from alloop.workspace import open_workspace

LEAST = '[project]\nname = "signs"\nlabels = ["a", "b"]\n'
SECRET = "s3cret"


def load(folder: Path, more: str = "", *, least: str = LEAST) -> Config:
    (folder / "alloop.toml").write_text(least + more)
    return load_config(folder / "alloop.toml")


def refusal(folder: Path, more: str = "", *, least: str = LEAST) -> str:
    with pytest.raises(ConfigError) as found:
        load(folder, more, least=least)
    assert "\n" not in str(found.value)
    return str(found.value)


# Where values come from


def test_a_project_needs_no_more_than_a_name_and_a_label_set(tmp_path: Path) -> None:
    config = load(tmp_path)
    assert (config.project.labels, config.loop.batch, config.sla.cycle_hours) == (("a", "b"), 500, 48)


def test_a_folder_stands_for_the_alloop_toml_in_it(tmp_path: Path) -> None:
    load(tmp_path)
    assert load_config(tmp_path).file == tmp_path / "alloop.toml"


def test_the_environment_wins_over_the_file_key_by_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLOOP_LOOP__BATCH", "7")
    config = load(tmp_path, "[loop]\nbatch = 9\nholdout = 11\n")
    assert (config.loop.batch, config.loop.holdout) == (7, 11)


def test_the_environment_reaches_tables_in_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLOOP_ANNOTATION__SIMULATED__ERROR_RATE", "0.5")
    config = load(tmp_path, '[annotation]\ntool = "simulated"\n')
    assert (config.annotation.tool, config.annotation.simulated.error_rate) == ("simulated", 0.5)


def test_a_list_in_the_environment_is_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLOOP_LOOP__LADDER", '["margin", "random"]')
    assert load(tmp_path).loop.ladder == ("margin", "random")


def test_a_list_that_is_no_json_is_refused_with_an_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLOOP_LOOP__LADDER", "margin")
    assert """write a list as JSON, such as ALLOOP_LOOP__LADDER='["margin"]'""" in refusal(tmp_path)


def test_a_section_that_only_the_environment_knows_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLOOP_LEDGR__URL", f"postgresql://user:{SECRET}@host/db")
    told = refusal(tmp_path)
    assert "ALLOOP_LEDGR__URL" in told
    assert "did you mean 'ledger'?" in told
    assert SECRET not in told


def test_a_key_that_only_the_environment_knows_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLOOP_LEDGER__ULR", f"postgresql://user:{SECRET}@host/db")
    told = refusal(tmp_path)
    assert "unknown key 'ledger.ulr'; did you mean 'url'?" in told
    assert SECRET not in told


def test_other_variables_of_ours_are_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLOOP_TEST_POSTGRES_URL", "postgresql://host/db")
    assert load(tmp_path).ledger.url == "sqlite:///ledger.db"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("sqlite:///ledger.db", "sqlite:///{root}/ledger.db"),
        ("sqlite+pysqlite:///sub/x.db", "sqlite+pysqlite:///{root}/sub/x.db"),
        ("sqlite:////data/x.db", "sqlite:////data/x.db"),
        ("sqlite:///:memory:", "sqlite:///:memory:"),
        ("sqlite://", "sqlite://"),
        ("postgresql://host/db", "postgresql://host/db"),
    ],
)
def test_a_relative_sqlite_path_starts_from_the_file(tmp_path: Path, written: str, meant: str) -> None:
    assert load(tmp_path, f'[ledger]\nurl = "{written}"\n').ledger_url == meant.format(root=tmp_path)


def test_nothing_changes_once_it_is_loaded(tmp_path: Path) -> None:
    config = load(tmp_path)
    with pytest.raises(ValidationError):
        config.loop.batch = 3  # type: ignore[misc]
    with pytest.raises(ValidationError):
        config.loop = config.loop  # type: ignore[misc]


# What is refused


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ("[lop]\nbatch = 3", "unknown key 'lop'; did you mean 'loop'?"),
        ("[loop]\nbacth = 3", "unknown key 'loop.bacth'; did you mean 'batch'?"),
        (
            "[annotation.simulated]\nerror_rat = 3",
            "unknown key 'annotation.simulated.error_rat'; did you mean 'error_rate'?",
        ),
        ("[sla]\nzzz = 3", "unknown key 'sla.zzz'; known are cycle_hours, stage_hours"),
        ("[loop]\nbatch = 0", "'loop.batch' is 0: Input should be greater than or equal to 1"),
        ("[loop]\nbatch = 'many'", "'loop.batch' is 'many': Input should be a valid integer"),
        ("[loop]\nladder = []", "'loop.ladder' is []: "),
        ("[loop]\ncontrol_share = 1", "'loop.control_share' is 1: Input should be less than 1"),
        (
            "[annotation]\ntool = 'fodler'",
            "'annotation.tool' is 'fodler': Input should be 'simulated', 'folder', 'label-studio' or 'cvat'",
        ),
        ("[switching]\nrule = 'never'", "'switching.rule' is 'never': "),
        ("[sla.stage_hours]\nretrain = 'long'", "'sla.stage_hours.retrain' is 'long': Input should be a valid number"),
        ("x = = 3", "is not valid TOML: Invalid value (at line 4, column 5); mend that line"),
    ],
)
def test_a_mistake_is_one_sentence_with_the_value(tmp_path: Path, more: str, told: str) -> None:
    assert told in refusal(tmp_path, more)


@pytest.mark.parametrize(
    ("least", "told"),
    [
        ("", "'project' is missing; set it"),
        ("[project]\nname = 'x'\n", "'project.labels' is missing; set it"),
        ("[project]\nname = 'My Project'\nlabels = ['a']\n", "'project.name' is 'My Project': "),
        ("[project]\nname = 'x'\nlabels = ['a', 'a']\n", "'project.labels' is ['a', 'a']: a label stands in it twice"),
        ("[project]\nname = 'x'\nlabels = [1]\n", "'project.labels.0' is 1: Input should be a valid string"),
        ("loop = 3\n" + LEAST, "'loop' is a table; write [loop] above its keys"),
        ("file = 'x'\n" + LEAST, "unknown key 'file'; known are project, ledger, "),
    ],
)
def test_a_mistake_about_the_project_too(tmp_path: Path, least: str, told: str) -> None:
    assert told in refusal(tmp_path, least=least)


def test_two_mistakes_are_told_at_once(tmp_path: Path) -> None:
    told = refusal(tmp_path, "[loop]\nbatch = 0\nholdout = 0\n")
    assert "'loop.batch'" in told
    assert "'loop.holdout'" in told


def test_a_long_value_is_cut(tmp_path: Path) -> None:
    assert len(refusal(tmp_path, f"[loop]\nbatch = '{'x' * 5000}'\n")) < 300


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "alloop.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="is not valid TOML"):
        load_config(tmp_path)


def test_no_file_at_all(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="make one with 'alloop init"):
        load_config(tmp_path)


def test_a_path_through_a_file(tmp_path: Path) -> None:
    load(tmp_path)
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path / "alloop.toml" / "alloop.toml")


# Secrets

POSTGRES = [
    f"postgresql://user:{SECRET}@127.0.0.1:1/db",
    f"postgresql://user:x@{SECRET}/x@127.0.0.1:1/db",
    f"postgresql://127.0.0.1:1/db?user=user&password={SECRET}",
    f"postgresql://user:{SECRET}@127.0.0.1:1/db?sslmode=bogus",
    f"postgresql://user:{SECRET}@127.0.0.1:port/db",
    f"postgres://user:{SECRET}@127.0.0.1:1/db",
    f"mysql://user:{SECRET}@127.0.0.1/db",
]


@pytest.mark.parametrize("url", POSTGRES)
def test_a_password_is_in_no_text_of_the_configuration(tmp_path: Path, url: str) -> None:
    config = load(tmp_path, f'[ledger]\nurl = "{url}"\n')
    assert SECRET not in repr(config) + str(config) + repr(config.ledger)


@pytest.mark.parametrize("url", POSTGRES)
def test_a_password_is_in_no_error_and_not_in_what_the_doctor_says(tmp_path: Path, url: str) -> None:
    config = load(tmp_path, f'[ledger]\nurl = "{url}"\n')
    with pytest.raises(AlloopError) as found, open_workspace(config):
        pass
    assert SECRET not in str(found.value)
    assert "\n" not in str(found.value)
    assert SECRET not in repr(diagnose(config.file))


def test_a_password_beside_a_mistake_is_not_told(tmp_path: Path) -> None:
    told = refusal(tmp_path, f'[ledger]\nurl = "postgresql://user:{SECRET}@host/db"\nulr = "{SECRET}"\n')
    assert SECRET not in told


def test_a_url_that_is_no_text_is_not_told(tmp_path: Path) -> None:
    assert SECRET not in refusal(tmp_path, f'[ledger]\nurl = ["{SECRET}"]\n')


def test_nothing_of_a_password_is_told_where_the_error_came_from(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as found:
        open_database(f"postgresql://user:{SECRET}@127.0.0.1:port/db")
    assert SECRET not in repr(found.value.__cause__)
    assert found.value.__suppress_context__
