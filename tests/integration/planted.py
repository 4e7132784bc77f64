"""Secrets in every place that databases and brokers have for them, spoken to real servers on the loopback.

    planted.py VECTORS        the folder of the programs that start servers

Each secret has a number, so that one that leaks says which it was; the servers' own password is a secret as well. Prints which
servers are missing, and how many secrets there were.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile

sys.path.insert(0, sys.argv[1])

number = 0
quiet = contextlib.suppress


def secret() -> str:
    global number
    number += 1
    return f"planted-{number}"


def planted(statement: str) -> str:
    while "@@" in statement:
        statement = statement.replace("@@", secret(), 1)
    return statement


MARIADB = (
    "CREATE TABLE t (id int, name text)",
    "CREATE USER u IDENTIFIED BY '@@'",
    "ALTER USER u IDENTIFIED BY '@@'",
    "GRANT SELECT ON shop.* TO u IDENTIFIED BY '@@'",
    "SET PASSWORD FOR u = PASSWORD('@@')",
    "CREATE USER v IDENTIFIED VIA mysql_native_password USING PASSWORD('@@')",
    "SET @a = '@@'",
    "INSERT INTO t VALUES (1, '@@'), (2, \"@@\")",
    "INSERT INTO t VALUES (1, N'@@'), (2, _utf8'@@'), (3, 'it''s @@'), (4, 'a\\'@@')",
    "SELECT /* @@ */ 1 -- @@",
    "SELECT 1 # @@",
    "SELECT * FROM t WHERE name LIKE '%@@%' AND id IN (1, 2, 3)",
    "SELECT /*! '@@' */",
    "SELECT '@@",
    "CREATE PROCEDURE p(x text) SELECT x",
    "CALL p('@@')",
    "DO SLEEP('@@')",
    "PREPARE s FROM 'SELECT \\'@@\\''",
    "CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PASSWORD='@@'",
    "KILL '@@'",
    "gibberish '@@'",
    "DROP USER u, v",
)
POSTGRESQL = (
    "CREATE TABLE t (id int, name text)",
    "CREATE ROLE r LOGIN PASSWORD '@@'",
    "ALTER ROLE r WITH ENCRYPTED PASSWORD '@@'",
    "INSERT INTO t VALUES (1, '@@'), (2, E'a\\'@@'), (3, U&'@@'), (4, $$@@$$), (5, $tag$@@$tag$)",
    "SELECT '@@'::text || '@@'",
    "SELECT /* @@ /* @@ */ */ 1 -- @@",
    "DO $$ BEGIN PERFORM '@@'; END $$",
    "SET application_name = '@@'",
    "NOTIFY c, '@@'",
    "SELECT * FROM t WHERE name = ANY(ARRAY['@@', '@@'])",
    "SELECT '{\"a\": \"@@\"}'::json ->> 'a'",
    "SELECT '@@",
    "gibberish '@@'",
    "COMMENT ON TABLE t IS '@@'",
    "PREPARE s AS SELECT '@@'",
    "CREATE USER MAPPING FOR r SERVER x OPTIONS (password '@@')",
)


def mariadb() -> None:
    import mysql.connector
    import pymysql
    from mysql_account import SECRET
    from mysql_account import mariadb as server

    with server() as port:
        common = {"host": "127.0.0.1", "port": port, "user": "lab"}
        with quiet(Exception):
            pymysql.connect(**common, password=secret())
        connection = pymysql.connect(**common, password=SECRET, database="shop", local_infile=True, autocommit=True)
        q = connection.cursor()
        for statement in MARIADB:
            with quiet(pymysql.Error):
                q.execute(planted(statement))
        with tempfile.NamedTemporaryFile("w", suffix=".csv") as rows:
            rows.write("\n".join(f"{i},{secret()}" for i in range(20)))
            rows.flush()
            q.execute(f"LOAD DATA LOCAL INFILE '{rows.name}' INTO TABLE t FIELDS TERMINATED BY ','")
        prepares = mysql.connector.connect(**common, password=SECRET, database="shop", use_pure=True)
        with prepares.cursor(prepared=True) as q:
            q.execute("SELECT * FROM t WHERE name = %s AND id > %s", (secret(), 1))
            q.fetchall()
        with quiet(Exception):
            prepares.cmd_change_user("lab", secret(), "shop")


def postgresql() -> None:
    import psycopg
    from record_postgresql import at, server

    with server(auth="password") as port:  # which goes in clear
        with quiet(psycopg.Error):
            psycopg.connect(**at(port, password=secret()))
        connection = psycopg.connect(**at(port), autocommit=True)
        for statement in POSTGRESQL:
            with quiet(psycopg.Error):
                connection.execute(planted(statement).encode())
        connection.execute("SELECT * FROM t WHERE name = %s", (secret(),), prepare=True)
        with connection.cursor() as q:
            with q.copy("COPY t FROM STDIN") as copy:
                for i in range(50):
                    copy.write_row((i, secret()))
            with q.copy("COPY t TO STDOUT") as copy:
                list(copy)


def mongodb() -> None:
    from mongodb_account import client, ferretdb
    from pymongo.errors import PyMongoError

    with ferretdb() as port:
        with quiet(PyMongoError):
            login = {"username": "lab", "password": secret(), "authMechanism": "PLAIN", "serverSelectionTimeoutMS": 2000}
            client(port, None, **login).shop.command("ping")
        shop = client(port, None).shop
        shop.carts.insert_many([{"name": secret(), secret(): 1, "deep": {"a": [secret()]}} for _ in range(9)])
        list(shop.carts.find({"name": secret(), "$or": [{"a": secret()}]}, comment=secret()))
        shop.carts.update_one({"name": secret()}, {"$set": {"name": secret()}})
        with quiet(PyMongoError):
            shop.command("createUser", "u", pwd=secret(), roles=[])


def amqp() -> None:
    from amqp_account import Client
    from amqp_broker import broker
    from record import free_port

    port = free_port()
    with broker(port, free_port(), free_port()):
        Client(port, password=secret(), fails="access-refused")
        client = Client(port)
        channel = client.channel()
        client.declare(channel, "orders", arguments={"x-note": secret()})
        client.confirm(channel)
        for _ in range(5):
            headers = {secret(): secret(), "note": [secret()]}
            client.publish(channel, "", "orders", secret().encode() * 200, headers=headers, user_id="lab")
        client.get(channel, "orders")
        client.consume(channel, "orders", 4, lambda channel, tag: channel.basic_ack(tag))
        client.close(channel)


def kafka() -> None:
    import confluent_kafka
    from confluent_kafka.admin import AdminClient, NewTopic
    from kafka_broker import SECRET, broker
    from record import free_port

    port, sasl = free_port(), free_port()
    with broker(port, sasl, free_port(), free_port()):
        common = {"bootstrap.servers": f"127.0.0.1:{port}", "log_level": 0}
        admin = AdminClient(common)
        admin.create_topics([NewTopic("orders", 1, 1)], operation_timeout=10)["orders"].result()
        login = {"bootstrap.servers": f"127.0.0.1:{sasl}", "security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN"}
        for password in (secret(), SECRET):
            who = {"sasl.username": "lab", "sasl.password": password, "compression.type": "gzip", "log_level": 0}
            producer = confluent_kafka.Producer({**login, **who})
            for _ in range(5):
                producer.produce("orders", secret() * 50, secret(), headers={"note": secret()})
            producer.flush(3)
        consumer = confluent_kafka.Consumer({**common, "group.id": "g", "auto.offset.reset": "earliest"})
        consumer.subscribe(["orders"])
        consumer.consume(5, 10)
        consumer.close()


def main() -> None:
    import amqp_broker
    import kafka_broker

    brokers = {"amqp": amqp_broker, "kafka": kafka_broker}
    for speak in (mariadb, postgresql, mongodb, amqp, kafka):
        missing = brokers[speak.__name__].why_not() if speak.__name__ in brokers else None
        if missing is None:
            speak()
        else:
            print(speak.__name__, missing)
    print(number)


if __name__ == "__main__":
    main()
