"""What must hold of docker-compose.yml, .env.example and the images' build files, read and not run."""

import json
import re
import subprocess
import sys
from typing import Any

import pytest
from pydantic import BaseModel

from alloop.config import Config
from tests.compose_file import CHECKOUT, Unset, example, read, variables, words

GIVEN = {name: f"given-{name}" for name in example()}
FILE = read(GIVEN)
SERVICES: dict[str, dict[str, Any]] = FILE["services"]
SECRET = re.compile(r"PASSWORD|SECRET|TOKEN|KEY|AUTH|CREDENTIAL")
ALLOOP = ("deploy", "worker", "relay", "service", "assist", "alloop")
OURS = ("prefect-server", "prefect-services", *ALLOOP, "label-studio")
DOCKERFILES = sorted((CHECKOUT / "deployments").glob("Dockerfile*"))
PREFECT_REDIS = {"PREFECT_REDIS_MESSAGING_URL"}
"""Read by the package prefect-redis (0.3.0, `RedisMessagingSettings`), so Prefect itself does not know it."""


def environment(service: str) -> dict[str, str]:
    return SERVICES[service].get("environment", {})


def every_environment() -> list[tuple[str, str, str]]:
    return [(service, name, value) for service in SERVICES for name, value in environment(service).items()]


def test_the_example_names_exactly_what_is_required_and_gives_no_values():
    assert example() == {found["name"]: "" for found in variables() if found["how"] == "?"}


@pytest.mark.parametrize("name", example())
def test_nothing_starts_without_it(name):
    with pytest.raises(Unset, match=name):
        read({**GIVEN, name: ""})


def test_whoever_forgot_a_value_is_told_where_to_set_it():
    assert {found["name"] for found in variables() if found["how"] == "?" and ".env" not in found["more"]} == set()


def test_no_variable_is_silently_empty():
    assert [found["name"] for found in variables() if found["how"] is None] == []


def test_no_secret_has_a_default():
    defaults = {found["name"] for found in variables() if found["how"] == "-"}
    assert {name for name in defaults if SECRET.search(name)} == set()


def test_every_secret_of_every_service_is_a_given_one():
    harmless = {"LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN"}
    secrets = [(service, name, value) for service, name, value in every_environment() if SECRET.search(name)]
    written = {(service, name) for service, name, value in secrets if "given-" not in value and name not in harmless}
    assert secrets
    assert written == set()


def test_every_password_in_an_address_is_a_given_one():
    found = [re.search(r"://[^/@]*:([^/@]*)@", value) for _, _, value in every_environment()]
    passwords = {address[1] for address in found if address}
    assert passwords == {"given-POSTGRES_PASSWORD", "given-REDIS_PASSWORD"}


def test_redis_asks_for_its_password():
    command = words(SERVICES["redis"]["command"])
    assert command[command.index("--requirepass") + 1] == "given-REDIS_PASSWORD"


def test_every_part_of_prefect_has_the_auth_string():
    servers = {environment(name)["PREFECT_SERVER_API_AUTH_STRING"] for name in ("prefect-server", "prefect-services")}
    clients = {environment(name)["PREFECT_API_AUTH_STRING"] for name in ALLOOP}
    assert servers == clients == {"given-PREFECT_SERVER_API_AUTH_STRING"}


def test_only_the_interface_the_service_and_label_studio_are_published_and_on_this_machine_only():
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published == {
        "prefect-server": ["127.0.0.1:4200:4200"],
        "service": ["127.0.0.1:8090:8090"],
        "label-studio": ["127.0.0.1:8080:8080"],
    }


def test_who_says_otherwise_publishes_elsewhere():
    ports = [
        port for service in read({**GIVEN, "BIND": "0.0.0.0"})["services"].values() for port in service.get("ports", ())
    ]
    assert [port.split(":")[0] for port in ports] == ["0.0.0.0"] * 3


def test_databases_and_redis_are_on_networks_without_a_way_out():
    inner = {name for name, network in FILE["networks"].items() if network.get("internal")}
    for name in ("postgres", "redis", "label-studio-postgres", "prefect-services"):
        assert set(SERVICES[name]["networks"]) <= inner


def test_label_studio_whose_webhooks_may_go_anywhere_does_not_see_postgres_redis_or_prefect():
    assert environment("label-studio")["LABEL_STUDIO_SSRF_PROTECTION_ENABLED"] == "false"
    assert "loop" not in SERVICES["label-studio"]["networks"]


def test_pre_labels_on_request_run_only_where_somebody_asks_for_them():
    profiles = {name: service["profiles"] for name, service in SERVICES.items() if "profiles" in service}
    assert profiles == {"assist": ["assist"], "alloop": ["by-hand"]}
    needed = {needed for service in SERVICES.values() for needed in service.get("depends_on", {})}
    assert needed & set(profiles) == set()


def test_label_studio_reaches_what_gives_pre_labels_and_may_call_it():
    """Without the variable Label Studio 1.23.2 refuses a model server at a private address."""
    assert set(SERVICES["label-studio"]["networks"]) & set(SERVICES["assist"]["networks"]) == {"tools"}
    assert environment("label-studio")["LABEL_STUDIO_ML_BLOCK_LOCAL_IP"] == "false"


def test_the_password_of_pre_labels_is_known_to_who_asks_for_it_alone():
    known = {service for service, name, _ in every_environment() if name == "ALLOOP_SERVICE__ASSIST_PASSWORD"}
    assert known == {"assist"}


def test_networks_are_declared_and_all_are_used():
    assert {network for service in SERVICES.values() for network in service["networks"]} == set(FILE["networks"])


@pytest.mark.parametrize("name", SERVICES)
def test_it_has_a_health_check_or_says_why_not(name):
    service = SERVICES[name]
    if "x-no-health-check" in service:
        assert len(service["x-no-health-check"]) > 20
        assert service["healthcheck"] == {"disable": True}
    else:
        assert service["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")
        assert service["healthcheck"]["retries"] > 0


@pytest.mark.parametrize("name", SERVICES)
def test_it_is_started_again_when_it_dies(name):
    policies = {"deploy": "on-failure:5", "alloop": "no"}
    assert SERVICES[name]["restart"] == policies.get(name, "unless-stopped")


def test_whoever_waits_for_health_waits_for_somebody_who_tells():
    for service in SERVICES.values():
        for needed, how in service.get("depends_on", {}).items():
            if how["condition"] == "service_healthy":
                assert "test" in SERVICES[needed]["healthcheck"]
            else:
                assert (needed, how["condition"]) == ("deploy", "service_completed_successfully")


def test_what_must_outlive_a_container_is_on_a_named_volume():
    kept = {mount for service in SERVICES.values() for mount in volumes_of(service)}
    assert kept == set(FILE["volumes"]) == {"postgres", "redis", "state", "label-studio-postgres", "label-studio"}


def volumes_of(service: dict[str, Any]) -> set[str]:
    long = [mount for mount in service.get("volumes", ()) if isinstance(mount, dict)]
    short = [mount.split(":")[0] for mount in service.get("volumes", ()) if isinstance(mount, str)]
    return {mount["source"] for mount in long if mount["type"] == "volume"} | {one for one in short if "/" not in one}


def test_label_studio_has_a_postgres_of_its_own():
    assert environment("label-studio")["POSTGRE_HOST"] == "label-studio-postgres"
    assert environment("label-studio-postgres")["POSTGRES_DB"] == environment("label-studio")["POSTGRE_NAME"]


def test_the_ledger_is_the_database_that_the_script_makes_and_not_prefects():
    made = re.search(r"^CREATE DATABASE (\w+);", (CHECKOUT / "deployments" / "ledger.sql").read_text(), re.MULTILINE)
    assert environment("worker")["ALLOOP_LEDGER__URL"].rpartition("/")[2] == made[1]
    assert (
        environment("prefect-server")["PREFECT_API_DATABASE_CONNECTION_URL"].rpartition("/")[2] == "prefect" != made[1]
    )


def test_the_token_of_the_loop_is_that_of_label_studios_user():
    ours = environment("relay")["ALLOOP_ANNOTATION__LABEL_STUDIO__TOKEN"]
    assert ours == environment("label-studio")["LABEL_STUDIO_USER_TOKEN"]


def test_every_alloop_variable_is_a_key_of_the_configuration():
    names = {name for _, name, _ in every_environment() if name.startswith("ALLOOP_")}
    assert names
    assert {name for name in names if not is_key(name)} == set()


def is_key(variable: str) -> bool:
    model: Any = Config
    for part in variable.removeprefix("ALLOOP_").lower().split("__"):
        if not (isinstance(model, type) and issubclass(model, BaseModel)) or part not in model.model_fields:
            return False
        model = model.model_fields[part].annotation
    return True


def test_every_prefect_variable_is_a_setting_of_prefect():
    names = {name for _, name, _ in every_environment() if name.startswith("PREFECT_")}
    listed = "import json; from prefect.settings.models.root import Settings as S; from prefect.settings.legacy import "
    listed += "_get_valid_setting_names as names; print(json.dumps(sorted(names(S))))"
    done = subprocess.run([sys.executable, "-c", listed], capture_output=True, text=True, check=True, timeout=60)
    known = set(json.loads(done.stdout.splitlines()[-1]))
    assert names - known == PREFECT_REDIS


def test_our_containers_have_no_powers_of_root():
    for name in OURS:
        assert SERVICES[name]["cap_drop"] == ["ALL"]
        assert SERVICES[name]["security_opt"] == ["no-new-privileges:true"]


def test_every_image_of_others_has_a_version():
    images = {service["image"] for service in SERVICES.values() if "build" not in service}
    assert images == {"postgres:16-alpine", "redis:7.2-alpine"}


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda file: file.name)
def test_the_image_runs_as_nobody_special_and_has_a_health_check(file):
    text = file.read_text()
    assert re.findall(r"^USER (\w+)$", text, re.MULTILINE)[-1:] not in ([], ["root"], ["0"])
    assert re.search(r"^HEALTHCHECK ", text, re.MULTILINE)
    assert re.search(r"^ENTRYPOINT \[", text, re.MULTILINE)


@pytest.mark.parametrize("file", [*DOCKERFILES, CHECKOUT / "docker-compose.yml"], ids=lambda file: file.name)
def test_no_address_of_a_package_index_is_in_it(file):
    hosts = set(re.findall(r"https?://([^/:\s'\"]+)", file.read_text()))
    assert hosts <= {"127.0.0.1", "prefect-server", "label-studio", "service", "assist"}


def test_what_the_image_copies_is_let_through_to_it():
    copied = re.findall(
        r"^COPY (?!--from)(.+) \S+$", (CHECKOUT / "deployments" / "Dockerfile").read_text(), re.MULTILINE
    )
    named = {name.split("/")[0] for line in copied for name in line.split()}
    let_through = set(re.findall(r"^!(.+)$", (CHECKOUT / ".dockerignore").read_text(), re.MULTILINE))
    assert named == let_through
    assert all((CHECKOUT / name).exists() for name in named)


def test_an_env_file_never_reaches_the_image():
    lines = (CHECKOUT / ".dockerignore").read_text().splitlines()
    assert "*" in lines
    assert lines.index("**/.env*") > max(number for number, line in enumerate(lines) if line.startswith("!"))
