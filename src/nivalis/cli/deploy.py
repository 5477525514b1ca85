"""`nivalis deploy`: make a server of a cloud what a configuration says."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nivalis.cli.cloud_desk import CANNOT_AUTHENTICATE, Desk
from nivalis.cli.deploying import ConsoleTalk, client_options, make_tools, one_at_a_time, print_steps
from nivalis.cli.failures import report, run

if TYPE_CHECKING:
    from nivalis.cli.systems import SystemDesk
    from nivalis.deploy.apply import Deployment
    from nivalis.deploy.plan import Plan, Target
    from nivalis.store.store import Store

__all__ = ["command"]

# What is in the way of the defaults of the channel's modules, and in nobody else's.
_PRIORITY = 900
_DEFINITION = "etc/nixos/configuration.nix"


@click.command("deploy", short_help="Make a server of a cloud what a configuration says.")
@click.argument("configuration", type=click.Path(exists=True, path_type=Path))
@click.option("-n", "--name", required=True, help="What the server is called; what belongs to it is known by this.")
@click.option("--cloud-ip", is_flag=True, help="Have a Cloud IP lead to it; a new one, unless there is one already.")
@click.option("--address", default="", metavar="CIP", help="Have this Cloud IP lead to it, by its identifier.")
@click.option("-t", "--type", "kind", default="", show_default="1gb.ssd", help="How large it is, when it is made.")
@click.option("--volume-size", type=click.IntRange(0), default=0, help="Size of its volume in MiB, for a type with network storage, when it is made.")
@click.option("-z", "--zone", default="", help="Where it is, when it is made.")
@click.option("-g", "--group", "groups", multiple=True, metavar="GROUP", help="A group that it is in, by its identifier; else the default one.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.option("--timeout", type=click.FloatRange(1), default=600.0, show_default=True, help="How long it may take to let us in, in seconds.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
@client_options
@click.option("-I", "--include", "includes", multiple=True, metavar="[NAME=]PATH", help="Look here first for <NAME>.")
@click.option("-f", "--file", "file", metavar="FILE", help="Evaluate this in place of <nixpkgs/nixos> or <nixos/nixos>.")
@click.option("--store", metavar="PLACE", help="Build in the store there.")
@click.option("--option", "settings", type=(str, str), multiple=True, metavar="NAME VALUE", help="Set one of Nix's settings.")
@click.option("--show-trace", is_flag=True, help="Show all frames of an error's trace.")
def command(
    configuration: Path,
    name: str,
    cloud_ip: bool,
    address: str,
    kind: str,
    volume_size: int,
    zone: str,
    groups: Sequence[str],
    dry_run: bool,
    timeout: float,
    as_json: bool,
    client: str,
    account: str,
    includes: Sequence[str],
    file: str | None,
    store: str | None,
    settings: Sequence[tuple[str, str]],
    show_trace: bool,
) -> None:
    """Make the server NAME what the file CONFIGURATION says, and print how to log in.

    Where there is no such server, its image is built, uploaded and registered, and the server is made from it.  A server that runs gets what it lacks
    over ssh, and is switched, as by `nixos-rebuild switch`.  What is so already is not done again, and what was interrupted is gone on with.

    NIX_SSHOPTS are further options of ssh.
    """
    if cloud_ip and address:
        raise click.UsageError("one of --cloud-ip and --address says which Cloud IP it has")

    def work() -> int:
        from nivalis.cli.building import BuildOptions
        from nivalis.cli.systems import SystemDesk
        from nivalis.cloud.errors import AuthenticationError
        from nivalis.deploy.account import check_name
        from nivalis.deploy.errors import SwitchError
        from nivalis.deploy.ssh import NO_CONNECTION

        check_name(name)
        options = BuildOptions()
        options.includes = list(includes)
        options.arguments = {"configuration": (_as_module(configuration.resolve()), True)}
        options.set_given({"store": store, "show-trace": show_trace})
        for setting, value in settings:
            options.set(setting, value)
        systems = SystemDesk(options, dict(os.environ), file)
        wanted = {"server_type": kind, "volume_size": volume_size, "zone": zone, "groups": tuple(groups), "cloud_ip": "new" if cloud_ip else address}
        try:
            with systems.open() as opened:
                target = _evaluate(systems, opened, configuration, name, wanted)
                return _deploy(Desk(client, account), systems, opened, target, timeout, dry_run=dry_run, as_json=as_json)
        except AuthenticationError as error:
            report(error)
            return CANNOT_AUTHENTICATE
        except SwitchError as error:
            report(error)
            # As `nixos-rebuild` says it, where the switch itself ended.
            return error.status if error.status != NO_CONNECTION else 1

    raise SystemExit(run(work))


def _as_module(place: Path) -> str:
    """The configuration as an expression; a file of its own is also what the server is given as its definition."""
    quoted = json.dumps(str(place)).replace("${", "\\${")
    path = f"(/. + {quoted})"
    if not place.is_file():
        return path
    # Any file's name is one of a file, if not of a store path.
    copy = f'builtins.path {{ name = "configuration.nix"; path = {path}; }}'
    contents = f'virtualisation.diskImage.contents."{_DEFINITION}" = lib.mkOverride {_PRIORITY} ({copy});'
    return f"{{ lib, ... }}: {{ imports = [ {path} ]; {contents} }}"


def _evaluate(systems: SystemDesk, store: Store, configuration: Path, name: str, wanted: dict[str, Any]) -> Target:
    from nivalis.deploy.plan import Target

    found, image = systems.evaluate_image(store, "brightboxImage")
    definition = configuration.read_bytes() if configuration.is_file() else b""
    return Target(name, found, image.path, image.derivation, definition=definition, **wanted)


def _deploy(desk: Desk, systems: SystemDesk, store: Store, target: Target, patience: float, *, dry_run: bool, as_json: bool) -> int:
    from nivalis.deploy.account import look_up
    from nivalis.deploy.apply import Deployment
    from nivalis.deploy.plan import make_plan

    talk = ConsoleTalk()

    def build(derivation: str, path: str) -> Path:
        from nivalis.deploy.errors import DeployError

        if systems.build(store, derivation):
            raise DeployError(f"what is to be deployed could not be built: `{derivation}`", code="deploy-build")
        return Path(store.real_path(path))

    tools = make_tools(desk, talk, store, build, patience)
    with one_at_a_time(desk, target.name, talk, is_needed=not dry_run), Deployment(target, tools) as deployment:
        found = look_up(tools.cloud, target.name)
        running = deployment.look(found)
        plan = make_plan(target, found, running)
        _show(target, plan, deployment, talk, is_result=dry_run and not as_json)
        if plan.steps and not dry_run:
            deployment.apply(plan)
            talk.say(f"{target.name} is what its configuration says")
        if as_json:
            print(json.dumps(_to_json(target, plan, deployment, is_done=not dry_run), indent=2))
        elif not dry_run and deployment.ssh is not None:
            print(deployment.ssh.login)
    return 0


def _show(target: Target, plan: Plan, deployment: Deployment, talk: ConsoleTalk, *, is_result: bool) -> None:
    """Say what will be done: as the result where that is all that is wanted."""
    write = print if is_result else talk.say
    for note in plan.notes:
        talk.say(f"note: {note}")
    if not plan.steps:
        write(f"{target.name} is what its configuration says; there is nothing to do")
        return
    print_steps(plan.steps, write)
    changes = deployment.foresee() if plan.has("switch", "system") else None
    if changes is not None:
        from nivalis.cli.plan import format_changes

        for line in format_changes(changes):
            write(f"  {line}")


def _to_json(target: Target, plan: Plan, deployment: Deployment, *, is_done: bool) -> dict[str, Any]:
    server, ssh = deployment.server, deployment.ssh
    return {
        "name": target.name,
        "toplevel": target.toplevel,
        "image": target.image,
        "server": None if server is None else server.id,
        "address": None if ssh is None else ssh.host,
        "port": None if ssh is None else ssh.port,
        "plan": plan.to_json(),
        "done": is_done,
    }
