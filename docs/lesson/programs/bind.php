<?php
$listener = @socket_create(AF_INET, SOCK_STREAM, SOL_TCP);
@socket_bind($listener, "127.0.0.1", (int) $argv[1]);
@socket_listen($listener);
socket_getsockname($listener, $address, $port);
echo "listening on $address, port $port\n";
