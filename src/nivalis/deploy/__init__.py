"""Deploying: from a configuration to a server of a cloud that is it, and back to nothing.

    found = look_up(cloud, "web")
    plan = make_plan(target, found, state)
    Deployment(target, tools).apply(plan)

What it is: what an account has under a server's name (`look_up`), what is to be done about it (`make_plan`, `plan_destruction`), and doing it
(`Deployment`, `apply_destruction`), one at a time (`hold`); and a server that is spoken to over ssh (`Ssh`, `RemoteMachine`).

What always holds: nothing is kept on this machine but a lock.  What belongs together is known by names in the account, so an interrupted deployment
is gone on with from anywhere, and each step first looks whether it has been done.

What it may import: `nivalis.cloud`, `nivalis.system`, `nivalis.store` and what is below them.

What it does not do: it evaluates and builds nothing itself (how to build is handed in), reads no flags, and draws nothing.
"""

from nivalis._lazy import from_modules

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nivalis.deploy.account import Found, look_up
    from nivalis.deploy.apply import CloudTools, Deployment, Tools
    from nivalis.deploy.destroy import apply_destruction, plan_destruction
    from nivalis.deploy.errors import DeployError
    from nivalis.deploy.lock import hold
    from nivalis.deploy.machine import RemoteMachine
    from nivalis.deploy.plan import Plan, Step, Target, make_plan
    from nivalis.deploy.ssh import Ssh

__all__ = [
    "CloudTools",
    "DeployError",
    "Deployment",
    "Found",
    "Plan",
    "RemoteMachine",
    "Ssh",
    "Step",
    "Target",
    "Tools",
    "apply_destruction",
    "hold",
    "look_up",
    "make_plan",
    "plan_destruction",
]

__getattr__ = from_modules(
    __name__,
    {
        "CloudTools": "apply",
        "DeployError": "errors",
        "Deployment": "apply",
        "Found": "account",
        "Plan": "plan",
        "RemoteMachine": "machine",
        "Ssh": "ssh",
        "Step": "plan",
        "Target": "plan",
        "Tools": "apply",
        "apply_destruction": "destroy",
        "hold": "lock",
        "look_up": "account",
        "make_plan": "plan",
        "plan_destruction": "destroy",
    },
)
