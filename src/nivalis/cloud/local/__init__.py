"""A Brightbox on this machine: the same API, Orbit, FTP library and metadata service, with QEMU machines for servers.

What it is: a service for one user, on loopback addresses only, that checks credentials as the real one does; `control` starts and stops
it, `service` is the process.  Its state is an SQLite database and files in one folder, which one service at a time holds.

    state, places,    what there is, where it is kept, and that one service has it
    lock
    answers, api,     the API: shapes, tokens, resources, servers
    oauth, resources, servers
    imports           images from an address or the library: fetched, probed, measured
    orbit, library    Swift's API over files, and the FTP library
    machines          servers as QEMU processes
    network, packets, the network of a server: a switch between its NIC and QEMU's user network,
    firewall, metadata  the firewall of its groups, and the metadata service

What it does not do: load balancers, volumes, databases, collaborations, and the graphical console.  It serves nobody but this machine.
"""
