# SPDX-License-Identifier: Apache-2.0
"""The demo's workload: a year of hourly temperatures in two cities and the airports of the United States, from the
public Vega data sets, through sqlite3 and numpy. It knows nothing of enclaves."""
import csv
import hashlib
import sqlite3

import numpy

DATA = '/usr/lib/python3/dist-packages/vega_datasets/_data/'


def load(database):
    database.execute('create table hour (city text, month integer, hour integer, celsius real)')
    for city, name in (('San Francisco', 'sf-temps.csv'), ('Seattle', 'seattle-temps.csv')):
        with open(DATA + name, newline='', encoding='utf-8') as rows:
            database.executemany('insert into hour values (?, ?, ?, ?)', (
                (city, int(row['date'][5:7]), int(row['date'][11:13]), (float(row['temp']) - 32) / 1.8)
                for row in csv.DictReader(rows)))
    database.execute('create table airport (iata text primary key, city text, state text, lat real, lon real)')
    with open(DATA + 'airports.csv', newline='', encoding='utf-8') as rows:
        database.executemany('insert into airport values (?, ?, ?, ?, ?)', (
            (row['iata'], row['city'], row['state'], float(row['latitude']), float(row['longitude']))
            for row in csv.DictReader(rows)))
    database.commit()


def by_month(database):
    print('Mean temperature by month, degrees Celsius')
    print(f'{"month":>5} {"San Francisco":>14} {"Seattle":>9}')
    query = '''select month, avg(celsius) filter (where city = 'San Francisco'),
                      avg(celsius) filter (where city = 'Seattle') from hour group by month order by month'''
    for month, sf, seattle in database.execute(query):
        print(f'{month:5d} {sf:14.2f} {seattle:9.2f}')


def daily_wave(database):
    print('\nFirst harmonic of the mean day')
    for city, in database.execute('select distinct city from hour order by city').fetchall():
        day = numpy.array([row[0] for row in database.execute(
            'select avg(celsius) from hour where city = ? group by hour order by hour', (city,))])
        wave = numpy.fft.rfft(day)[1] / len(day) * 2
        warmest = (-numpy.angle(wave) / (2 * numpy.pi) * 24) % 24
        print(f'{city:>14}: swing {abs(wave):.3f} degrees, warmest at {warmest:.2f} h')


def linear_fit(database):
    rows = numpy.array(database.execute('''select a.celsius, b.celsius from
        (select rowid as id, month, hour, avg(celsius) as celsius from hour where city = 'Seattle' group by month, hour) a
        join (select month, hour, avg(celsius) as celsius from hour where city = 'San Francisco' group by month, hour) b
        on a.month = b.month and a.hour = b.hour order by a.month, a.hour''').fetchall())
    matrix = numpy.column_stack([rows[:, 1], numpy.ones(len(rows))])
    (slope, offset), *_ = numpy.linalg.lstsq(matrix, rows[:, 0], rcond=None)
    print(f'\nSeattle = {slope:.4f} * San Francisco {offset:+.4f} over {len(rows)} hours')


def remotest_airports(database):
    rows = database.execute("""select iata, city, state, lat, lon from airport
                               where lat between 24 and 50 and lon between -125 and -66 order by iata""").fetchall()
    points = numpy.radians(numpy.array([row[3:] for row in rows]))
    unit = numpy.column_stack([numpy.cos(points[:, 0]) * numpy.cos(points[:, 1]),
                               numpy.cos(points[:, 0]) * numpy.sin(points[:, 1]), numpy.sin(points[:, 0])])
    nearest = []
    for start in range(0, len(unit), 256):
        cosine = unit[start:start + 256] @ unit.T
        cosine[numpy.arange(cosine.shape[0]), start + numpy.arange(cosine.shape[0])] = -1
        nearest.append(numpy.arccos(numpy.clip(cosine.max(axis=1), -1, 1)) * 6371)
    distance = numpy.concatenate(nearest)
    print(f'\nRemotest of {len(rows)} airports in the contiguous states')
    for index in numpy.argsort(-distance, kind='stable')[:5]:
        iata, city, state = rows[index][:3]
        print(f'{iata:>5} {city}, {state}: {distance[index]:.1f} km to the next')


def main():
    database = sqlite3.connect('/tmp/demo.db')
    load(database)
    by_month(database)
    daily_wave(database)
    linear_fit(database)
    remotest_airports(database)
    digest = hashlib.sha256()
    for row in database.execute('select * from hour order by city, month, hour, celsius'):
        digest.update(repr(row).encode())
    print(f'\n{database.execute("select count(*) from hour").fetchone()[0]} rows, SHA-256 {digest.hexdigest()}')


if __name__ == '__main__':
    main()
