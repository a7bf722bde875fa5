#!/usr/bin/env python3
"""An FTP server for tests: ftp_server.py DIRECTORY [ADDRESS...]. Anybody may read and write there.

pyftpdlib's; only that in active mode it connects from port 20, as RFC 959 section 3.2 wants it and
IPVS's helper expects it. Says "ready" once it listens.
"""

import logging
import socket
import sys
import warnings

warnings.simplefilter("ignore")  # of asyncore

# pylint: disable=wrong-import-position
from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import ActiveDTP, FTPHandler
from pyftpdlib.servers import FTPServer


class FromPort20(ActiveDTP):
    def bind(self, addr):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        super().bind((addr[0], 20))


def main():
    logging.basicConfig(level=logging.WARNING)
    directory, *addresses = sys.argv[1:]
    authorizer = DummyAuthorizer()
    authorizer.add_anonymous(directory, perm="elrw")
    FTPHandler.authorizer = authorizer
    FTPHandler.active_dtp = FromPort20
    FTPHandler.permit_foreign_addresses = False
    servers = [FTPServer((address, 21), FTPHandler) for address in addresses]
    print("ready", flush=True)
    servers[0].serve_forever()  # their loop is one


main()
