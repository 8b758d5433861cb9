<?php
function check($result, $listener = null) {
    if ($result === false) {
        $number = socket_last_error($listener);
        exit(socket_strerror($number) . " (errno $number)\n");
    }
    return $result;
}

$listener = check(@socket_create(AF_INET, SOCK_STREAM, SOL_TCP));
check(@socket_bind($listener, "127.0.0.1", (int) $argv[1]), $listener);
check(@socket_listen($listener), $listener);
socket_getsockname($listener, $address, $port);
echo "listening on $address, port $port\n";
