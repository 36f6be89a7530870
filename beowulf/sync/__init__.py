"""Code, environments and outputs between the head and the nodes, over bulk channels of their own."""
