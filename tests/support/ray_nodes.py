"""A real Ray cluster of two nodes of one CPU each, on the loopback interface alone, until standard input ends.

    python tests/ray_nodes.py FOLDER [jobs]     prints the address, then the two node ids; jobs: with Ray's Jobs API

A line "lose" on standard input kills the second node, a line "add" starts another; each is answered with a node id.

The nodes are two raylets, each with its own object store and its own worker processes. With the variable
RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0 Ray listens on 127.0.0.1 only; every process that connects needs it too.
"""

import os
import sys

os.environ |= {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_USAGE_STATS_ENABLED": "0", "RAY_TMPDIR": sys.argv[1]}

from ray.cluster_utils import Cluster  # noqa: E402

NODE = {"num_cpus": 1, "num_gpus": 0, "object_store_memory": 200_000_000}

if __name__ == "__main__":
    jobs = sys.argv[2:] == ["jobs"]
    cluster = Cluster(initialize_head=True, head_node_args=NODE | {"include_dashboard": jobs, "dashboard_port": 0})
    try:
        second = cluster.add_node(**NODE, include_dashboard=False)
        print(cluster.address, cluster.head_node.node_id, second.node_id, flush=True)
        for line in sys.stdin:
            if line.strip() == "lose":
                cluster.remove_node(second, allow_graceful=False)
            else:
                second = cluster.add_node(**NODE, include_dashboard=False)
            print(second.node_id, flush=True)
    finally:
        cluster.shutdown()
