"""poollib.bulk on a Ray cluster: python docs/examples/ray_executor.py URL COUNT"""

import sys

import ray

from poollib import bulk


class RayExecutor:
    def __init__(self):
        self._call = ray.remote(lambda fn, *args: fn(*args))

    def submit(self, fn, *args):
        return self._call.remote(fn, *args).future()


if __name__ == "__main__":
    ray.init()
    urls = (f"{sys.argv[1]}/{number}" for number in range(int(sys.argv[2])))
    print(sum(result.is_ok for result in bulk.fetch(urls, executor=RayExecutor())))
