"""`nivalis destroy`: take away what `nivalis deploy` has made."""

from __future__ import annotations

import json
import sys

import click

from nivalis.cli.cloud_desk import CANNOT_AUTHENTICATE, Desk
from nivalis.cli.deploying import ConsoleTalk, client_options, one_at_a_time, print_steps
from nivalis.cli.failures import report, run

__all__ = ["command"]


@click.command("destroy", short_help="Destroy a server that was deployed, and what belongs to it.")
@click.argument("name")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Only say what would be destroyed.")
@click.option("--json", "as_json", is_flag=True, help="Print what is destroyed as a JSON object.")
@client_options
def command(name: str, yes: bool, dry_run: bool, as_json: bool, client: str, account: str) -> None:
    """Destroy the server NAME, with its disk, its images, the Cloud IP of its name, and what lies in Orbit for it.

    What that is, is shown, and done only after a yes.
    """

    def work() -> int:
        from nivalis.cloud.errors import AuthenticationError

        try:
            return _destroy(Desk(client, account), name, yes=yes, dry_run=dry_run, as_json=as_json)
        except AuthenticationError as error:
            report(error)
            return CANNOT_AUTHENTICATE

    raise SystemExit(run(work))


def _destroy(desk: Desk, name: str, *, yes: bool, dry_run: bool, as_json: bool) -> int:
    from nivalis.deploy.account import check_name, look_up
    from nivalis.deploy.apply import CloudTools
    from nivalis.deploy.destroy import apply_destruction, plan_destruction
    from nivalis.deploy.errors import DeployError

    talk = ConsoleTalk()
    tools = CloudTools(cloud=desk.cloud(), orbit=desk.orbit, talk=talk)
    check_name(name)
    with one_at_a_time(desk, name, talk, is_needed=not dry_run):
        what = plan_destruction(name, look_up(tools.cloud, name, dying=True), tools.orbit())
        print_steps(what.steps, print if dry_run and not as_json else talk.say)
        if not what.steps:
            talk.say(f"there is nothing of `{name}`")
        elif not dry_run:
            if not yes:
                if not sys.stdin.isatty():
                    raise DeployError("nobody is there to say yes", code="deploy-unasked", hint="`--yes` says it")
                if not _is_confirmed():
                    return 1
            apply_destruction(what, tools)
    if as_json:
        print(json.dumps({"name": name, "steps": [step._asdict() for step in what.steps], "done": not dry_run}, indent=2))
    return 0


def _is_confirmed() -> bool:
    try:
        return click.confirm("Destroy all that?", err=True)
    except click.Abort:
        # Ctrl-C or Ctrl-D is no yes.
        print(file=sys.stderr)
        return False
