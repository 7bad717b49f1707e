#!/usr/bin/env python3
"""Writes api.json: what the simulator needs of AWS's description of EC2.

The description is data/ec2/2016-11-15/service-2.json of botocore
(https://github.com/boto/botocore, Apache License 2.0). Usage: api.py > api.json
"""
import gzip
import json
import os
import re

import botocore

ACTIONS = """
AllocateAddress AssociateAddress AuthorizeSecurityGroupIngress CancelSpotInstanceRequests
CreateSecurityGroup CreateTags DeleteKeyPair DeleteNetworkInterface DeleteSecurityGroup
DeleteTags DeleteVolume DescribeAddresses DescribeAvailabilityZones DescribeImages
DescribeInstanceStatus DescribeInstanceTypeOfferings DescribeInstanceTypes DescribeInstances
DescribeInternetGateways DescribeKeyPairs DescribeNetworkInterfaces DescribeRegions
DescribeRouteTables DescribeSecurityGroupRules DescribeSecurityGroups
DescribeSpotInstanceRequests DescribeSubnets DescribeTags DescribeVolumes DescribeVpcs
DisassociateAddress GetConsoleOutput ImportKeyPair ModifyInstanceAttribute RebootInstances
ReleaseAddress RevokeSecurityGroupIngress RunInstances StartInstances StopInstances
TerminateInstances
""".split()
UNLISTED = {"InstanceType"}  # the simulator has a table of its own


def load():
    path = os.path.join(os.path.dirname(botocore.__file__), "data/ec2/2016-11-15/service-2.json")
    if os.path.exists(path):
        with open(path, encoding="utf-8") as f:
            return json.load(f)
    with gzip.open(path + ".gz") as f:
        return json.load(f)


def main():
    description = load()
    all_shapes, shapes = description["shapes"], {}

    def ref(name, asked):
        shape = all_shapes[name]
        kind = shape["type"]
        if kind in ("structure", "list") or (asked and "enum" in shape and name not in UNLISTED):
            add(name, asked)
            return name
        return kind

    def add(name, asked):
        if name in shapes:
            return
        shape = all_shapes[name]
        shapes[name] = None  # shapes may refer to themselves
        if shape["type"] == "structure":
            required = shape.get("required", [])
            members = {}
            for member, m in shape["members"].items():
                xml = m.get("locationName", member)
                query = m.get("queryName", xml[0].upper() + xml[1:])
                members[member] = " ".join([query, xml, ref(m["shape"], asked)] + ["required"] * (member in required))
            shapes[name] = {"members": members}
        elif shape["type"] == "list":
            item = shape["member"]
            shapes[name] = {"list": ref(item["shape"], asked), "item": item.get("locationName", "item")}
        else:
            shapes[name] = {"enum": shape["enum"]}

    actions = {}
    for name in ACTIONS:
        op = description["operations"][name]
        inout = [op["input"]["shape"], op.get("output", {}).get("shape", "")]
        add(inout[0], True)
        actions[name] = inout
    for name in ACTIONS:
        if actions[name][1]:
            add(actions[name][1], False)

    # Filters are described in prose: a list of <code>name</code>.
    filters = {}
    for name in ACTIONS:
        prose = all_shapes[actions[name][0]]["members"].get("Filters", {}).get("documentation", "")
        found = re.findall(r"<li> *<p> *<code>([^<]+)</code>", prose)
        if found:
            filters[name] = sorted({"tag:" if n.startswith("tag:") or n == "tag" else n for n in found})

    def lines(table):
        return ",\n".join(json.dumps(k) + ":" + json.dumps(v, separators=(",", ":")) for k, v in sorted(table.items()))

    print('{"actions":{\n%s},\n"filters":{\n%s},\n"shapes":{\n%s}}' % (lines(actions), lines(filters), lines(shapes)))


main()
