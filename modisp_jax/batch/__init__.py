"""Many photos into a folder, by several processes or a cluster: what ``modisp batch`` does.

The driver (``driver``) plans (``plan``), hands out photos and keeps the manifest (``manifest``); workers, processes
(``processes``) or actors of Ray (``ray_actors``), render one photo at a time (``work``) and write its pictures.
"""
