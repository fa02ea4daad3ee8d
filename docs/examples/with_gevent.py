"""Many greenlets, few connections: python docs/examples/with_gevent.py URL"""

from gevent import monkey

monkey.patch_all()

import sys  # noqa: E402 - what comes after the patch is patched

import gevent.pool  # noqa: E402

import poollib  # noqa: E402


def main(url: str) -> None:
    with poollib.PoolManager(maxsize=10, block=True, timeout=10.0) as manager:
        greenlets = gevent.pool.Pool(100)
        answers = greenlets.map(lambda n: manager.request("GET", f"{url}?name={n}").status, range(200))
        opened = manager.connection_from_url(url).stats()["opened"]
    print(f"{answers.count(200)} answers by {opened} connections")


if __name__ == "__main__":
    main(sys.argv[1])
