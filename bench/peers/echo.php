<?php
// An echo in the manner of the socket tutorial in PHP's manual: one process
// that asks everybody in turn, and naps.

const NAP = 500; // microseconds

$listener = socket_create(AF_INET, SOCK_STREAM, SOL_TCP);
if (!socket_bind($listener, '127.0.0.1', 0) || !socket_listen($listener)) {
    exit(socket_strerror(socket_last_error($listener)) . "\n");
}
socket_set_nonblock($listener);
socket_getsockname($listener, $address, $port);
echo "port $port\n";

$clients = [];
while (true) {
    $client = @socket_accept($listener);
    if ($client !== false) {
        socket_set_nonblock($client);
        $clients[] = $client;
    }
    foreach ($clients as $key => $client) {
        $bytes = @socket_read($client, 2048);
        if ($bytes !== false && $bytes !== '') {
            socket_write($client, $bytes);
        } elseif ($bytes === '' || socket_last_error($client) !== SOCKET_EAGAIN) {
            socket_close($client);
            unset($clients[$key]);
        }
        if (isset($clients[$key])) {
            socket_clear_error($client);
        }
    }
    usleep(NAP);
}
