<?php
$connection = socket_create(AF_INET, SOCK_STREAM, SOL_TCP);
socket_connect($connection, "127.0.0.1", 1234);
socket_getsockname($connection, $address, $port);
echo "I am $address, port $port\n";
socket_getpeername($connection, $address, $port);
echo "connected to $address, port $port\n";
socket_close($connection);
