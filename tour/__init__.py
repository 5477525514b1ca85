"""The tour: what nivalis is for, walked through in one command, `./dev tour`.

A configuration becomes an image, is uploaded and registered, a server boots from it, is brought up to date, serves a page, is rolled back,
and boots an older generation from its menu.  Every part is real: Debian's packages from this machine's own mirrors, builds in the
sandbox, curl, ssh, a cloud whose servers are QEMU machines.  The commands are those that a user types, and each step ends with a look at
what a user would see.

    steps      what is done, one function for each step
    stage      where it is done: the folder, the environment, the door to other programs, what has to be stopped at the end
    server     the server, seen from this machine: ssh, the page, the boot menu on the serial line
    older      Debian's suite as it was released, before its updates
    mirror     this machine's mirrors, for the server
    show       what is said meanwhile, and the summary

Everything lies in one folder, and /nix and the user's own files are left alone.  Nothing here is imported by nivalis, or by its tests.
"""
