/*
 * Tells a service manager what goes on: systemd's notification protocol (sd_notify(3)).
 */
#ifndef R2_SERVER_NOTIFY_H
#define R2_SERVER_NOTIFY_H

/* Sends the message ("READY=1") to the socket that NOTIFY_SOCKET names; without one nothing
   happens. */
void r2_notify(const char *message);

#endif
