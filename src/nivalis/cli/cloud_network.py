"""`nivalis cloud cloudips`, `groups`, `firewall-policies` and `firewall-rules`: how servers are reached."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from nivalis.cli.cloud_desk import Desk, Kind, NounGroup, add_verbs, as_work, ids, json_option
from nivalis.cli.cloud_tables import Row

if TYPE_CHECKING:
    from nivalis.cloud.models import CloudIp, FirewallPolicy, FirewallRule, ServerGroup

__all__ = ["cloudips", "firewall_policies", "firewall_rules", "groups"]


# ---------------------------------------------------------------------------------------------------- Cloud IPs


def _ip_row(address: CloudIp) -> Row:
    shown = {"id": address.id, "status": address.status, "public_ip": address.public_ip or address.public_ipv4}
    return {**shown, "destination": address.destination, "reverse_dns": address.reverse_dns, "name": address.name}


def _ip_detail(address: CloudIp) -> Row:
    translators = [f"{one.incoming}:{one.outgoing}:{one.protocol}" for one in address.port_translators]
    more = {name: getattr(address, name) for name in ("public_ipv4", "public_ipv6", "fqdn")}
    interface = address.interface.id if address.interface else ""
    return {**_ip_row(address), **more, "interface_id": interface, "port_translators": translators}


_IPS = Kind(
    "cloud_ips",
    ("id", "status", "public_ip", "destination", "reverse_dns", "name"),
    _ip_row,
    ("id", "name", "status", "public_ipv4", "public_ipv6", "fqdn", "reverse_dns", "destination", "interface_id", "port_translators"),
    _ip_detail,
)


@click.group("cloudips", cls=NounGroup)
def cloudips() -> None:
    """Cloud IPs: public addresses, mapped to servers."""


add_verbs(cloudips, _IPS, "list", "show")


def _translators(text: str) -> list[dict[str, object]]:
    found = []
    for word in text.split(","):
        parts = word.split(":")
        if len(parts) != 3 or not (parts[0].isdecimal() and parts[1].isdecimal()):
            raise click.UsageError(f"no port translator: `{word}`; one is IN:OUT:PROTOCOL, as 80:8080:tcp")
        found.append({"incoming": int(parts[0]), "outgoing": int(parts[1]), "protocol": parts[2]})
    return found


@cloudips.command("create")
@click.option("-i", "--count", type=click.IntRange(1), default=1, show_default=True, help="How many.")
@click.option("-n", "--name", help="What it is called.")
@click.option("-t", "--port-translators", help="Ports that lead to others: IN:OUT:PROTOCOL, with commas between.")
@json_option
@as_work
def _ip_create(desk: Desk, count: int, name: str | None, port_translators: str | None) -> None:
    """Get new addresses."""
    cloud = desk.cloud()
    fields: dict[str, Any] = {"name": name} if name else {}
    if port_translators:
        fields["port_translators"] = _translators(port_translators)
    made = [cloud.cloud_ips.create(fields) for _ in range(count)]
    desk.show_list(_IPS.columns, [_ip_row(one) for one in made], made)


@cloudips.command("map")
@click.argument("address")
@click.argument("destination")
@click.option("-u", "--unmap", is_flag=True, help="Take it away from where it is mapped to.")
@json_option
@as_work
def _ip_map(desk: Desk, address: str, destination: str, unmap: bool) -> None:
    """Map ADDRESS to DESTINATION: a server, an interface, a group, a load balancer."""
    cloud = desk.cloud()
    if unmap and cloud.cloud_ips.get(address).status == "mapped":
        cloud.cloud_ips.unmap(address)
        cloud.cloud_ips.wait(address, {"unmapped"}, deadline=30, interval=0.5)
    if destination.startswith("srv-"):
        interfaces = cloud.servers.get(destination).interfaces
        destination = interfaces[0].id if interfaces else destination
    desk.say(f"Mapping {address} to {destination}")
    cloud.cloud_ips.map(address, destination)
    # It is often done by the time that one looks; if it is not, the table says so.
    for _ in range(6):
        found = cloud.cloud_ips.get(address)
        if found.status == "mapped":
            break
        cloud.sleep(0.5)
    desk.show_list(_IPS.columns, [_ip_row(found)], found)


@cloudips.command("unmap")
@ids
@as_work
def _ip_unmap(desk: Desk, ids: Sequence[str]) -> None:
    """Map them to nothing."""
    cloud = desk.cloud()
    for one in ids:
        desk.say(f"Unmapping {one}")
        cloud.cloud_ips.unmap(one)


@cloudips.command("destroy")
@ids
@click.option("-u", "--unmap", is_flag=True, help="Also those that are mapped.")
@as_work
def _ip_destroy(desk: Desk, ids: Sequence[str], unmap: bool) -> None:
    """Give them back."""
    cloud = desk.cloud()
    for one in ids:
        if cloud.cloud_ips.get(one).status == "mapped":
            if not unmap:
                raise click.UsageError(f"{one} is mapped; --unmap destroys it all the same")
            cloud.cloud_ips.unmap(one)
            cloud.cloud_ips.wait(one, {"unmapped"}, deadline=30, interval=0.5)
        desk.say(f"Destroying {one}")
        cloud.cloud_ips.destroy(one)


@cloudips.command("update")
@click.argument("identifier")
@click.option("-r", "--reverse-dns", help="The name that its address has.")
@click.option("--delete-reverse-dns", is_flag=True, help="Have the usual name again.")
@click.option("-n", "--name", help="What it is called.")
@click.option("-t", "--port-translators", help="Ports that lead to others: IN:OUT:PROTOCOL, with commas between.")
@json_option
@as_work
def _ip_update(
    desk: Desk, identifier: str, reverse_dns: str | None, delete_reverse_dns: bool, name: str | None, port_translators: str | None
) -> None:
    """Change one."""
    changes: dict[str, Any] = {"reverse_dns": "" if delete_reverse_dns else reverse_dns, "name": name}
    changes = {key: value for key, value in changes.items() if value is not None}
    if port_translators is not None:
        changes["port_translators"] = _translators(port_translators) if port_translators else []
    found = desk.cloud().cloud_ips.update(identifier, changes)
    desk.show_list(_IPS.columns, [_ip_row(found)], found)


# ---------------------------------------------------------------------------------------------------- groups


def _group_row(group: ServerGroup) -> Row:
    return {"id": group.id, "server_count": len(group.servers), "name": group.name}


def _group_detail(group: ServerGroup) -> Row:
    policy = group.firewall_policy.id if group.firewall_policy else ""
    more = {name: getattr(group, name) for name in ("description", "default", "fqdn", "created_at")}
    return {**_group_row(group), **more, "firewall_policy": policy, "servers": [one.id for one in group.servers]}


_GROUPS = Kind(
    "server_groups",
    ("id", "server_count", "name"),
    _group_row,
    ("id", "name", "description", "default", "fqdn", "created_at", "firewall_policy", "server_count", "servers"),
    _group_detail,
)


@click.group("groups", cls=NounGroup)
def groups() -> None:
    """Groups of servers, which share a firewall."""


add_verbs(groups, _GROUPS, "list", "show", "destroy")


@groups.command("create")
@click.option("-n", "--name", help="What it is called.")
@click.option("-d", "--description", help="What it is.")
@json_option
@as_work
def _group_create(desk: Desk, **fields: Any) -> None:
    """Make one."""
    found = desk.cloud().server_groups.create({key: value for key, value in fields.items() if value is not None})
    desk.show_list(_GROUPS.columns, [_group_row(found)], found)


@groups.command("update")
@click.argument("identifier")
@click.option("-n", "--name", help="What it is called.")
@click.option("-d", "--description", help="What it is.")
@json_option
@as_work
def _group_update(desk: Desk, identifier: str, **fields: Any) -> None:
    """Change one."""
    found = desk.cloud().server_groups.update(identifier, {key: value for key, value in fields.items() if value is not None})
    desk.show_list(_GROUPS.columns, [_group_row(found)], found)


@groups.command("add_servers")
@click.argument("group")
@click.argument("servers", nargs=-1, required=True)
@as_work
def _group_add(desk: Desk, group: str, servers: Sequence[str]) -> None:
    """Have SERVERS in GROUP too."""
    desk.cloud().server_groups.change_servers(group, "add_servers", servers)


@groups.command("remove_servers")
@click.argument("group")
@click.argument("servers", nargs=-1, required=True)
@as_work
def _group_remove(desk: Desk, group: str, servers: Sequence[str]) -> None:
    """Have SERVERS in GROUP no more."""
    desk.cloud().server_groups.change_servers(group, "remove_servers", servers)


@groups.command("move_servers")
@click.option("-f", "--from", "source", required=True, help="The group where they are.")
@click.option("-t", "--to", "destination", required=True, help="The group where they are to be.")
@click.argument("servers", nargs=-1, required=True)
@as_work
def _group_move(desk: Desk, source: str, destination: str, servers: Sequence[str]) -> None:
    """Move SERVERS from one group to another, at once."""
    desk.cloud().server_groups.change_servers(source, "move_servers", servers, destination)


# ---------------------------------------------------------------------------------------------------- firewalls


def _policy_row(policy: FirewallPolicy) -> Row:
    return {"id": policy.id, "server_group": policy.server_group.id if policy.server_group else "", "name": policy.name}


def _policy_detail(policy: FirewallPolicy) -> Row:
    more = {name: getattr(policy, name) for name in ("description", "default", "created_at")}
    return {**_policy_row(policy), **more, "rules": [one.id for one in policy.rules]}


_POLICIES = Kind(
    "firewall_policies",
    ("id", "server_group", "name"),
    _policy_row,
    ("id", "name", "description", "default", "created_at", "server_group", "rules"),
    _policy_detail,
)


@click.group("firewall-policies", cls=NounGroup)
def firewall_policies() -> None:
    """Firewall policies: rules for a group."""


add_verbs(firewall_policies, _POLICIES, "list", "show", "destroy")


@firewall_policies.command("create")
@click.argument("group", required=False)
@click.option("-n", "--name", help="What it is called.")
@click.option("-d", "--description", help="What it is.")
@json_option
@as_work
def _policy_create(desk: Desk, group: str | None, **fields: Any) -> None:
    """Make one, for GROUP."""
    given = {**fields, "server_group": group}
    found = desk.cloud().firewall_policies.create({key: value for key, value in given.items() if value is not None})
    desk.show_list(_POLICIES.columns, [_policy_row(found)], found)


@firewall_policies.command("apply")
@click.argument("policy")
@click.argument("group")
@json_option
@as_work
def _policy_apply(desk: Desk, policy: str, group: str) -> None:
    """Have the servers of GROUP behind POLICY."""
    found = desk.cloud().firewall_policies.apply(policy, group)
    desk.show_list(_POLICIES.columns, [_policy_row(found)], found)


@firewall_policies.command("remove")
@click.argument("policy")
@click.argument("group")
@json_option
@as_work
def _policy_remove(desk: Desk, policy: str, group: str) -> None:
    """Have them behind it no more."""
    found = desk.cloud().firewall_policies.remove(policy, group)
    desk.show_list(_POLICIES.columns, [_policy_row(found)], found)


def _rule_row(rule: FirewallRule) -> Row:
    shown = {"protocol": rule.protocol, "source": rule.source, "sport": rule.source_port, "destination": rule.destination}
    shown |= {"dport": rule.destination_port, "icmp_type": rule.icmp_type_name, "description": rule.description}
    return {"id": rule.id, **{name: "-" if value is None else value for name, value in shown.items()}}


_RULES = Kind("firewall_rules", ("id", "protocol", "source", "sport", "destination", "dport", "icmp_type", "description"), _rule_row)


@click.group("firewall-rules", cls=NounGroup)
def firewall_rules() -> None:
    """Rules of firewall policies: what is let through."""


add_verbs(firewall_rules, _RULES, "show", "destroy")


@firewall_rules.command("list")
@click.argument("policies", nargs=-1)
@json_option
@as_work
def _rule_list(desk: Desk, policies: Sequence[str]) -> None:
    """List those of POLICIES, or of all."""
    cloud = desk.cloud()
    # The API has no list of all rules that one could count on.
    named = policies or [one.id for one in cloud.firewall_policies.list()]
    found = list(itertools.chain.from_iterable(cloud.firewall_policies.get(one).rules for one in named))
    desk.show_list(_RULES.columns, [_rule_row(one) for one in found], found)


_rule_options = (
    click.option("-p", "--protocol", help="tcp, udp, icmp or a number; any without."),
    click.option("-s", "--source", help="From where: any, an address, a network, a server, a group."),
    click.option("-t", "--sport", "source_port", help="From which ports."),
    click.option("-d", "--destination", help="To where; then it is the group that sends."),
    click.option("-e", "--dport", "destination_port", help="To which ports: 80, 80,443 or 8000-8080."),
    click.option("-i", "--icmptype", "icmp_type_name", help="Of which ICMP type."),
    click.option("--description", help="What for."),
)


def _with_rule(function: Any) -> Any:
    for option in reversed(_rule_options):
        function = option(function)
    return function


@firewall_rules.command("create")
@click.argument("policy")
@_with_rule
@json_option
@as_work
def _rule_create(desk: Desk, policy: str, **fields: Any) -> None:
    """Add a rule to POLICY."""
    given = {key: value for key, value in fields.items() if value is not None}
    found = desk.cloud().firewall_rules.create({"firewall_policy": policy, **given})
    desk.show_list(_RULES.columns, [_rule_row(found)], found)


@firewall_rules.command("update")
@click.argument("rule")
@_with_rule
@json_option
@as_work
def _rule_update(desk: Desk, rule: str, **fields: Any) -> None:
    """Change one."""
    found = desk.cloud().firewall_rules.update(rule, {key: value for key, value in fields.items() if value is not None})
    desk.show_list(_RULES.columns, [_rule_row(found)], found)
