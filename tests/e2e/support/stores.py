"""The tiers outside the product, for real: PostgreSQL and an S3 server (OpenStack Swift)."""
import glob
import os
import pwd
import shutil
import signal
import socket
import subprocess
import textwrap

from .process import Process, eventually


def connects(namespace, host, port):
    with namespace.entered():
        try:
            socket.create_connection((host, port), 1).close()
            return True
        except OSError:
            return False


def owned_directory(path, user):
    os.makedirs(path)
    shutil.chown(path, user, pwd.getpwnam(user).pw_gid)
    return path


class Postgres:
    """A cluster of its own in a directory, listening on 127.0.0.1 of a namespace."""

    PORT = 5433

    def __init__(self, namespace, directory):
        self.namespace, self.directory = namespace, directory
        found = sorted(glob.glob("/usr/lib/postgresql/*/bin"))
        assert found, "PostgreSQL is not installed"
        self.bin = found[-1]
        self.cluster = os.path.join(owned_directory(directory, "postgres"), "cluster")
        result = subprocess.run(
            ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups",
             self.bin + "/initdb", "-D", self.cluster, "-A", "trust", "-U", "tandem", "-E", "UTF8",
             "--locale=C.UTF-8", "--no-sync"], stdin=subprocess.DEVNULL, capture_output=True,
            text=True, cwd="/")
        assert result.returncode == 0, "initdb: " + result.stderr
        self.process = None
        self.start()
        self.psql("CREATE DATABASE tandem", database="postgres")

    @property
    def uri(self):
        return "postgresql://tandem@127.0.0.1:%d/tandem" % self.PORT

    def start(self):
        self.process = Process(
            ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups",
             self.bin + "/postgres", "-D", self.cluster, "-p", self.PORT, "-h", "127.0.0.1", "-k",
             self.directory, "-F"], os.path.join(self.directory, "log"), namespace=self.namespace,
            stop_signal=signal.SIGINT, cwd="/")
        eventually(lambda: subprocess.run([self.bin + "/pg_isready", "-q", "-h", self.directory,
                                           "-p", str(self.PORT)]).returncode == 0,
                   20, "PostgreSQL starts", step=0.1, fail_if=self.process.must_run)

    def psql(self, sql, database="tandem"):
        """Rows of the answer, each a list of texts."""
        result = subprocess.run([self.bin + "/psql", "-h", self.directory, "-p", str(self.PORT),
                                 "-U", "tandem", "-d", database, "-AtX", "-F", "\t", "-c", sql],
                                stdin=subprocess.DEVNULL, capture_output=True, text=True)
        assert result.returncode == 0, "psql %s: %s" % (sql, result.stderr)
        return [line.split("\t") for line in result.stdout.splitlines()]

    def stop(self):
        self.process.stop()


class Swift:
    """One node of OpenStack Swift with its S3 interface (v2 and v4 signatures)."""

    PORT = 8080
    ACCESS_KEY, SECRET_KEY = "test:tester", "testing"
    SERVERS = {"account": 6002, "container": 6001, "object": 6000}

    def __init__(self, namespace, directory):
        self.namespace, self.directory = namespace, directory
        owned_directory(directory, "swift")
        owned_directory(os.path.join(directory, "cache"), "swift")
        owned_directory(os.path.join(directory, "node"), "swift")
        owned_directory(os.path.join(directory, "node", "sd1"), "swift")
        for name, port in self.SERVERS.items():
            self._ring(name, port)
            self._write(name, """\
                [DEFAULT]
                bind_ip = 127.0.0.1
                bind_port = %(port)d
                workers = 0
                user = swift
                swift_dir = %(directory)s
                devices = %(directory)s/node
                mount_check = false
                log_name = %(name)s
                [pipeline:main]
                pipeline = %(name)s-server
                [app:%(name)s-server]
                use = egg:swift#%(name)s
                """ % {"name": name, "port": port, "directory": directory})
        self._write("proxy", """\
            [DEFAULT]
            bind_ip = 127.0.0.1
            bind_port = %d
            workers = 0
            user = swift
            swift_dir = %s
            [pipeline:main]
            pipeline = catch_errors cache s3api tempauth copy slo dlo symlink versioned_writes proxy-server
            [app:proxy-server]
            use = egg:swift#proxy
            account_autocreate = true
            allow_account_management = true
            [filter:catch_errors]
            use = egg:swift#catch_errors
            [filter:cache]
            use = egg:swift#memcache
            memcache_servers = 127.0.0.1:11219
            [filter:s3api]
            use = egg:swift#s3api
            s3_acl = false
            [filter:tempauth]
            use = egg:swift#tempauth
            user_test_tester = testing .admin
            [filter:copy]
            use = egg:swift#copy
            [filter:slo]
            use = egg:swift#slo
            [filter:dlo]
            use = egg:swift#dlo
            [filter:symlink]
            use = egg:swift#symlink
            [filter:versioned_writes]
            use = egg:swift#versioned_writes
            allow_versioned_writes = true
            """ % (self.PORT, directory))
        self.processes = []
        self.start()

    @property
    def endpoint(self):
        return "127.0.0.1:%d" % self.PORT

    def _write(self, name, text):
        with open(os.path.join(self.directory, name + ".conf"), "w") as file:
            file.write(textwrap.dedent(text))

    def _ring(self, name, port):
        builder = os.path.join(self.directory, name + ".builder")
        for words in (["create", "4", "1", "1"],
                      ["add", "r1z1-127.0.0.1:%d/sd1" % port, "1"], ["rebalance"]):
            result = subprocess.run(["/usr/bin/python3", "/usr/bin/swift-ring-builder", builder]
                                    + words, stdin=subprocess.DEVNULL, capture_output=True,
                                    text=True)
            assert result.returncode in (0, 1), result.stdout + result.stderr

    def _spawn(self, *argv):
        self.processes.append(Process(argv, os.path.join(self.directory, "log"),
                                      namespace=self.namespace))

    def start(self):
        self._spawn("memcached", "-u", "nobody", "-l", "127.0.0.1", "-p", "11219", "-m", "16")
        for name in list(self.SERVERS) + ["proxy"]:
            self._spawn("/usr/bin/python3", "/usr/bin/swift-%s-server" % name,
                        os.path.join(self.directory, name + ".conf"), "-v")

        def alive():
            for process in self.processes:
                process.must_run()
        for port in list(self.SERVERS.values()) + [self.PORT]:
            eventually(lambda port=port: connects(self.namespace, "127.0.0.1", port), 30,
                       "Swift listens on %d" % port, step=0.2, fail_if=alive)

    def objects(self, bucket):
        """{name: bytes} of what lies in the bucket, asked through Swift's own interface."""
        return {name: self.get(bucket, name)
                for name in self._http("/%s" % bucket).decode().split("\n") if name}

    def get(self, bucket, name):
        return self._http("/%s/%s" % (bucket, name))

    def _http(self, path):
        script = textwrap.dedent("""\
            import sys, urllib.request as u, urllib.error, urllib.parse
            base = "http://127.0.0.1:%d"
            request = u.Request(base + "/auth/v1.0", headers={"X-Auth-User": "%s",
                                "X-Auth-Key": "%s"})
            answer = u.urlopen(request, timeout=10)
            request = u.Request(answer.headers["X-Storage-Url"] + urllib.parse.quote(sys.argv[1]),
                                headers={"X-Auth-Token": answer.headers["X-Auth-Token"]})
            try:
                sys.stdout.buffer.write(u.urlopen(request, timeout=10).read())
            except urllib.error.HTTPError as error:
                if error.code != 404:
                    raise
            """ % (self.PORT, self.ACCESS_KEY, self.SECRET_KEY))
        result = subprocess.run(self.namespace.command("/usr/bin/python3", "-c", script, path),
                                stdin=subprocess.DEVNULL, capture_output=True, timeout=30,
                                env={**os.environ, "no_proxy": "*"})
        assert result.returncode == 0, result.stderr.decode(errors="replace")
        return result.stdout

    def stop(self):
        for process in reversed(self.processes):
            process.stop()
        self.processes = []
