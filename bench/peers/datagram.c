/* A UDP echo as one writes it in C: recvfrom, sendto. */

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>

int main(void)
{
    static char buffer[65536];
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t length = sizeof address;
    int fd = socket(AF_INET, SOCK_DGRAM, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(fd, (struct sockaddr *)&address, length)) {
        perror("bind");
        return 1;
    }
    getsockname(fd, (struct sockaddr *)&address, &length);
    printf("port %d\n", ntohs(address.sin_port));
    fflush(stdout);
    for (;;) {
        struct sockaddr_in client;
        ssize_t got;

        length = sizeof client;
        got = recvfrom(fd, buffer, sizeof buffer, 0, (struct sockaddr *)&client, &length);
        if (got >= 0)
            sendto(fd, buffer, got, 0, (struct sockaddr *)&client, length);
    }
}
