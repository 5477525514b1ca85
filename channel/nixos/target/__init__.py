"""What runs on a machine: activation, switching, the boot menu, the first program after the initrd.

A system's toplevel holds one file of data, `system.json`, and these programs apply it.  They are started with the toplevel's own Python and
its own library (PYTHONHOME), before there is a /usr and while one is replaced; so this package needs nothing but Python's standard library.

What always holds: every file and link is written beside its place and renamed into it, every step may be repeated, and a process that is
killed anywhere leaves what the next run completes.  With a root folder given, all places are below it and no running system is
touched: so images are filled, and so the tests run.

    data        system.json, read and checked
    plan        what going from one system to another changes: a function of the two
    places      where things are on a machine, and writing them
    accounts    users and groups
    activate    files, links, wrappers: what has to be so before units start
    systemd     the running service manager
    menu        the boot menu and what it needs
    switch      a running machine goes from one system to another
    init        the machine starts

What it does not do: it evaluates and builds nothing, and knows no store but as a folder.  `nivalis.system` uses `data`, `plan` and
`menu` on the host.
"""
