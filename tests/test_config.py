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
    assert refusal(tmp_path) == (
        "ALLOOP_LOOP__LADDER is 'margin', which is no list; write a list as JSON, such as "
        """ALLOOP_LOOP__LADDER='["margin"]'"""
    )


def test_a_table_in_the_environment_that_is_no_json_is_named_without_its_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALLOOP_LEDGER", f"postgresql://user:{SECRET}@host/db")
    assert refusal(tmp_path) == (
        "ALLOOP_LEDGER is no table; write its keys one by one, such as ALLOOP_LEDGER__KEY, or as JSON"
    )


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("ALLOOP_LOOP__BATCH", "many", "ALLOOP_LOOP__BATCH: 'loop.batch' is 'many'; write a whole number"),
        ("alloop_loop__batch", "0", "ALLOOP_LOOP__BATCH: 'loop.batch' is '0'; write a number of at least 1"),
        ("ALLOOP_SLA", '{"cycle_hours": -1}', "ALLOOP_SLA: 'sla.cycle_hours' is -1; write a number above 0"),
        ("ALLOOP_PROJECT__LABELS", "[1]", "ALLOOP_PROJECT__LABELS: 'project.labels.0' is 1; write a text in quotes"),
    ],
)
def test_a_wrong_value_in_the_environment_is_not_blamed_on_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str, told: str
) -> None:
    monkeypatch.setenv(name, text)
    assert refusal(tmp_path) == told


def test_a_wrong_value_in_the_file_is_not_blamed_on_a_table_in_the_environment_that_lacks_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALLOOP_SLA", '{"degrade": true}')
    told = refusal(tmp_path, "[sla]\ncycle_hours = -1\n")
    assert told == f"{tmp_path / 'alloop.toml'}: 'sla.cycle_hours' is -1; write a number above 0"


def test_a_table_that_is_wrong_as_a_whole_names_the_variables_that_change_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALLOOP_ANNOTATION__OVERLAP", "9")
    told = refusal(tmp_path, "[annotation]\ntool = 'simulated'\noverlap_share = 0.5\n")
    assert told.startswith(
        f"{tmp_path / 'alloop.toml'} with ALLOOP_ANNOTATION__OVERLAP: 'annotation' is wrong: overlap"
    )


def test_a_section_that_only_the_environment_knows_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLOOP_LEDGR__URL", f"postgresql://user:{SECRET}@host/db")
    told = refusal(tmp_path)
    assert "ALLOOP_LEDGR__URL" in told
    assert "did you mean 'ledger'?" in told
    assert SECRET not in told


def test_a_key_that_only_the_environment_knows_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLOOP_LEDGER__ULR", f"postgresql://user:{SECRET}@host/db")
    told = refusal(tmp_path)
    assert told == "ALLOOP_LEDGER__ULR: unknown key 'ledger.ulr'; did you mean 'url'?"
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
        ("[loop]\nbatch = 0", "'loop.batch' is 0; write a number of at least 1"),
        ("[loop]\nbatch = 'many'", "'loop.batch' is 'many'; write a whole number"),
        ("[loop]\nbatch = 2.5", "'loop.batch' is 2.5; write a whole number"),
        (
            "[loop]\nbatch = 'many'\nholdout = 0",
            "write a whole number; and 'loop.holdout' is 0; write a number of at least 1",
        ),
        ("[loop]\nrescore_on_drift = 'maybe'", "'loop.rescore_on_drift' is 'maybe'; write true or false"),
        ("[loop]\nladder = 'margin'", "'loop.ladder' is 'margin'; write a list such as [\"a\", \"b\"]"),
        ("[sla]\ncycle_hours = 0", "'sla.cycle_hours' is 0; write a number above 0"),
        ("[sla]\nquorum = 1.5", "'sla.quorum' is 1.5; write a number of at most 1"),
        ("[annotation.folder]\npath = 3", "'annotation.folder.path' is 3; write a path in quotes"),
        (
            "[annotation.label_studio]\nproject = 'a'",
            "'annotation.label_studio.project' is 'a'; write a text of at least 3 characters",
        ),
        (
            "[annotators]\nhours = 'never'",
            "'annotators' is wrong: the hours 'never' are not understood; write them like",
        ),
        ("[loop]\nladder = []", "'loop.ladder' is []; write a list of at least 1"),
        ("[loop]\ncontrol_share = 1", "'loop.control_share' is 1; write a number below 1"),
        (
            "[annotation]\ntool = 'fodler'",
            "'annotation.tool' is 'fodler'; write 'simulated', 'folder', 'label-studio' or 'cvat'",
        ),
        ("[switching]\nrule = 'never'", "'switching.rule' is 'never'; write 'evidence', 'strict' or 'off'"),
        ("[sla.stage_hours]\nretrain = 'long'", "'sla.stage_hours.retrain' is 'long'; write a number"),
        ("x = = 3", "is not valid TOML: Invalid value (at line 4, column 5); mend that line"),
    ],
)
def test_a_mistake_is_one_sentence_with_the_value(tmp_path: Path, more: str, told: str) -> None:
    assert told in refusal(tmp_path, more)


@pytest.mark.parametrize(
    ("least", "told"),
    [
        ("", "'project' is missing; write [project] with name and labels under it"),
        ("[project]\nname = 'x'\n", '\'project.labels\' is missing; set it to a list such as ["cat", "dog"]'),
        ("[project]\nname = 'My Project'\nlabels = ['a', 'b']\n", "begins with a letter or digit; write 'my-project'"),
        ("[project]\nname = '!'\nlabels = ['a', 'b']\n", "'project.name' is '!': a name is made of up to 63 of a-z, "),
        ('[project]\nname = "x\\n"\nlabels = ["a", "b"]\n', r"'project.name' is 'x\n': "),
        ("[project]\nname = 'x'\nlabels = []\n", "'project.labels' is []: there is no label in it; write all classes"),
        ("[project]\nname = 'x'\nlabels = 'ab'\n", "'project.labels' is 'ab'; write a list such as [\"a\", \"b\"]"),
        (
            "[project]\nname = 'x'\nlabels = ['cat']\n",
            "'project.labels' is ['cat']: classify tells labels apart, so it",
        ),
        ("[project]\nname = 'x'\ntask = 'clasify'\nlabels = ['a']\n", "write 'classify', 'detect' or 'segment'"),
        (
            "[project]\nname = 'x'\ntask = ['detect']\nlabels = ['a']\n",
            "'project.task' is ['detect']; write 'classify', ",
        ),
        ("project = 3\n", "'project' is a table; write [project] above its keys"),
        (
            "[project]\nname = 'x'\nlabels = ['a', 'a']\n",
            "'project.labels' is ['a', 'a']: the label 'a' stands in it twice; keep one",
        ),
        ("[project]\nname = 'x'\nlabels = [1]\n", "'project.labels.0' is 1; write a text in quotes"),
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


def test_a_token_beside_a_mistake_about_its_table_is_not_told(tmp_path: Path) -> None:
    wrong = "[annotation]\ntool = 'simulated'\noverlap_share = 1\noverlap = 9\n"
    told = refusal(tmp_path, f"{wrong}[annotation.cvat]\ntoken = '{SECRET}'\n")
    assert "overlap is 9 with 3 simulated annotators" in told
    assert SECRET not in told
    short = refusal(tmp_path, f"[annotation]\noverlap_share = 'x'\n[annotation.cvat]\ntoken = ['{SECRET}']\n")
    assert "'annotation.cvat.token' is wrong; write a text in quotes" in short
    assert SECRET not in short


def test_one_label_is_enough_for_a_detector(tmp_path: Path) -> None:
    assert load(tmp_path, least="[project]\nname = 'x'\ntask = 'detect'\nlabels = ['car']\n").project.labels == ("car",)


def test_a_url_that_is_no_text_is_not_told(tmp_path: Path) -> None:
    assert SECRET not in refusal(tmp_path, f'[ledger]\nurl = ["{SECRET}"]\n')


def test_nothing_of_a_password_is_told_where_the_error_came_from(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as found:
        open_database(f"postgresql://user:{SECRET}@127.0.0.1:port/db")
    assert SECRET not in repr(found.value.__cause__)
    assert found.value.__suppress_context__
